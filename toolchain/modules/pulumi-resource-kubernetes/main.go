// pulumi-resource-kubernetes is the Pulumi provider plugin for Kubernetes, served from the
// provider's own package. Upstream embeds a generated schema that is not part of the module; the
// engine only needs a schema to generate SDKs, so this one carries the name and the version alone.
package main

import (
	"encoding/json"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

const name = "kubernetes"

func main() {
	schema, err := json.Marshal(map[string]string{"name": name, "version": version.Version})
	if err != nil {
		panic(err)
	}
	provider.Serve(name, version.Version, schema, []byte("{}"))
}
