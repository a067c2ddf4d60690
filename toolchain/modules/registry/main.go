// registry serves Harbor's registry line, docker/distribution, from its own packages. Upstream's
// command also links a Let's Encrypt client that the public module proxy does not serve; Harbor
// never configures it. The gcs driver is left out: it needs a client library of 2015 that compiles
// only with one commit of Google's API module, which the proxy does not serve either.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/docker/distribution/configuration"
	dcontext "github.com/docker/distribution/context"
	"github.com/docker/distribution/health"
	_ "github.com/docker/distribution/registry/auth/htpasswd"
	_ "github.com/docker/distribution/registry/auth/token"
	"github.com/docker/distribution/registry/handlers"
	"github.com/docker/distribution/registry/listener"
	_ "github.com/docker/distribution/registry/storage/driver/azure"
	_ "github.com/docker/distribution/registry/storage/driver/filesystem"
	_ "github.com/docker/distribution/registry/storage/driver/inmemory"
	_ "github.com/docker/distribution/registry/storage/driver/middleware/redirect"
	_ "github.com/docker/distribution/registry/storage/driver/oss"
	_ "github.com/docker/distribution/registry/storage/driver/s3-aws"
	_ "github.com/docker/distribution/registry/storage/driver/swift"
	"github.com/docker/distribution/version"
	gorilla "github.com/gorilla/handlers"
	"github.com/sirupsen/logrus"
)

const usage = `usage:
  registry serve CONFIG   serve images; REGISTRY_* variables override CONFIG
  registry parse CONFIG   check CONFIG and print its kind of storage
  registry --version`

// drain is how long open requests may take to end when the configuration does not say.
const drain = 10 * time.Second

func main() {
	switch {
	case len(os.Args) == 2 && os.Args[1] == "--version":
		version.PrintVersion()
	case len(os.Args) == 2 && os.Args[1] == "--help":
		fmt.Println(usage)
	case len(os.Args) == 3 && os.Args[1] == "parse":
		fmt.Println(parse(os.Args[2]).Storage.Type())
	case len(os.Args) == 3 && os.Args[1] == "serve":
		exitOn(serve(parse(os.Args[2])))
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
}

func parse(path string) *configuration.Configuration {
	file, err := os.Open(path)
	exitOn(err)
	defer file.Close()
	config, err := configuration.Parse(file)
	if err != nil {
		exitOn(fmt.Errorf("%s: %w", path, err))
	}
	return config
}

func serve(config *configuration.Configuration) error {
	level, err := logrus.ParseLevel(string(config.Log.Level))
	if err != nil {
		return err
	}
	logrus.SetLevel(level)

	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	app := handlers.NewApp(dcontext.WithVersion(dcontext.Background(), version.Version), config)
	app.RegisterHealthChecks()
	server := &http.Server{Handler: handler(app, config)}

	socket, err := listener.NewListener(config.HTTP.Net, config.HTTP.Addr)
	if err != nil {
		return err
	}
	logrus.Infof("listening on %s", socket.Addr())
	failed := make(chan error, 1)
	go func() {
		if tls := config.HTTP.TLS; tls.Certificate != "" {
			failed <- server.ServeTLS(socket, tls.Certificate, tls.Key)
		} else {
			failed <- server.Serve(socket)
		}
	}()

	select {
	case err := <-failed:
		return err
	case <-stopped.Done():
	}
	timeout := config.HTTP.DrainTimeout
	if timeout == 0 {
		timeout = drain
	}
	draining, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := server.Shutdown(draining); errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("requests still open %s after the stop signal", timeout)
	} else {
		return err
	}
}

// handler answers / itself, as Harbor's probes expect, and leaves the rest to the registry.
func handler(app http.Handler, config *configuration.Configuration) http.Handler {
	root := http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		if request.URL.Path == "/" {
			response.Header().Set("Cache-Control", "no-cache")
			return
		}
		app.ServeHTTP(response, request)
	})
	if config.Log.AccessLog.Disabled {
		return health.Handler(root)
	}
	return gorilla.CombinedLoggingHandler(os.Stdout, health.Handler(root))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
}
