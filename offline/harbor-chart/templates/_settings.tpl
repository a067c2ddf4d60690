{{/*
What several components must agree on: addresses, the database, Redis, proxies, tracing, and the
Secrets a value may come from.
*/}}

{{- define "standin.url.core" -}}http://{{ include "standin.name" (list . "core") }}:80{{- end -}}
{{- define "standin.url.token" -}}{{ include "standin.url.core" . }}/service/token{{- end -}}
{{- define "standin.url.registry" -}}http://{{ include "standin.name" (list . "registry") }}:5000{{- end -}}
{{- define "standin.url.registryctl" -}}http://{{ include "standin.name" (list . "registry") }}:8080{{- end -}}

{{/* YAML with host, port, username, dbname, sslmode, password of the database; read with fromYaml */}}
{{- define "standin.database" -}}
{{- $db := .Values.database -}}
{{- if eq $db.type "internal" -}}
{{- $host := include "standin.name" (list . "database") -}}
host: {{ $host | quote }}
port: "5432"
username: postgres
dbname: registry
sslmode: disable
password: {{ $db.internal.password | default (include "standin.kept" (list . $host "POSTGRES_PASSWORD")) | quote }}
{{- else -}}
host: {{ $db.external.host | quote }}
port: {{ $db.external.port | quote }}
username: {{ $db.external.username | quote }}
dbname: {{ $db.external.coreDatabase | quote }}
sslmode: {{ $db.external.sslmode | quote }}
password: {{ $db.external.password | quote }}
{{- end -}}
{{- end -}}

{{- define "standin.redis.addr" -}}
{{- if eq .Values.redis.type "internal" -}}
{{ include "standin.name" (list . "redis") }}:6379
{{- else -}}
{{ .Values.redis.external.addr }}
{{- end -}}
{{- end -}}

{{- define "standin.redis.scheme" -}}
{{- $out := .Values.redis.external -}}
{{- if eq .Values.redis.type "internal" -}}
redis
{{- else -}}
{{ ternary "rediss" "redis" $out.tlsOptions.enable }}{{ if $out.sentinelMasterSet }}+sentinel{{ end }}
{{- end -}}
{{- end -}}

{{/*
user:password@ of the Redis URLs. With an existing Secret the value is read from the cluster while
rendering and put in as it is: a password with / @ : % makes a URL Harbor cannot read.
*/}}
{{- define "standin.redis.login" -}}
{{- $out := .Values.redis.external -}}
{{- if ne .Values.redis.type "internal" -}}
{{- if $out.existingSecret -}}
{{- $found := lookup "v1" "Secret" .Release.Namespace $out.existingSecret -}}
{{- if not $found -}}
{{- fail (printf "redis.external.existingSecret: Secret %q must be in namespace %q before the chart is rendered, and the render must reach the cluster (helm template does not)" $out.existingSecret .Release.Namespace) -}}
{{- end -}}
{{- $data := $found.data | default dict -}}
{{- if not (hasKey $data "REDIS_PASSWORD") -}}
{{- fail (printf "redis.external.existingSecret: Secret %q has no key REDIS_PASSWORD" $out.existingSecret) -}}
{{- end -}}
{{ get $data "REDIS_USERNAME" | b64dec | trim }}:{{ get $data "REDIS_PASSWORD" | b64dec }}@
{{- else if $out.password -}}
{{ $out.username | urlquery }}:{{ $out.password | urlquery }}@
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Number of a Redis database, "" if the key is not set. list: root, key */}}
{{- define "standin.redis.number" -}}
{{- $redis := (index . 0).Values.redis -}}
{{- $key := index . 1 -}}
{{- if and (eq $redis.type "internal") (eq $key "coreDatabaseIndex") -}}
0
{{- else -}}
{{- get (get $redis $redis.type) $key | default "" -}}
{{- end -}}
{{- end -}}

{{/* list: root, key of the database number, and optionally a query */}}
{{- define "standin.redis.url" -}}
{{- $root := index . 0 -}}
{{- $scheme := include "standin.redis.scheme" $root -}}
{{ $scheme }}://{{ include "standin.redis.login" $root }}{{ include "standin.redis.addr" $root }}
{{- if hasSuffix "+sentinel" $scheme }}/{{ $root.Values.redis.external.sentinelMasterSet }}{{ end -}}
/{{ include "standin.redis.number" (list $root (index . 1)) }}{{ if gt (len .) 2 }}?{{ index . 2 }}{{ end }}
{{- end -}}

{{/* Value of a key in a Secret this release already made, else "". list: root, Secret, key */}}
{{- define "standin.kept" -}}
{{- $key := index . 2 -}}
{{- with lookup "v1" "Secret" (index . 0).Release.Namespace (index . 1) -}}
{{- with .data -}}
{{- with get . $key }}{{ . | b64dec }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The proxy settings as a map, if this component is among proxy.components. list: root, component */}}
{{- define "standin.proxy" -}}
{{- $root := index . 0 -}}
{{- $proxy := $root.Values.proxy -}}
{{- if has (index . 1) $proxy.components -}}
{{- $near := list -}}
{{- range $part := list "core" "jobservice" "database" "registry" "portal" "trivy" "exporter" -}}
{{- $near = append $near (include "standin.name" (list $root $part)) -}}
{{- end -}}
HTTP_PROXY: {{ $proxy.httpProxy | default "" | quote }}
HTTPS_PROXY: {{ $proxy.httpsProxy | default "" | quote }}
NO_PROXY: {{ append $near ($proxy.noProxy | default "") | join "," | quote }}
{{- end -}}
{{- end -}}

{{/* Environment for traces, as a map. list: root, service name */}}
{{- define "standin.trace" -}}
{{- $trace := (index . 0).Values.trace -}}
{{- if $trace.enabled -}}
TRACE_ENABLED: "true"
TRACE_SERVICE_NAME: {{ index . 1 | quote }}
TRACE_NAMESPACE: {{ $trace.namespace | default "" | quote }}
TRACE_SAMPLE_RATE: {{ $trace.sample_rate | toString | quote }}
{{- with $trace.attributes }}
TRACE_ATTRIBUTES: {{ toJson . | squote }}
{{- end }}
{{- if eq $trace.provider "jaeger" }}
TRACE_JAEGER_ENDPOINT: {{ $trace.jaeger.endpoint | default "" | quote }}
TRACE_JAEGER_USERNAME: {{ $trace.jaeger.username | default "" | quote }}
TRACE_JAEGER_AGENT_HOSTNAME: {{ $trace.jaeger.agent_host | default "" | quote }}
TRACE_JAEGER_AGENT_PORT: {{ $trace.jaeger.agent_port | default "" | toString | quote }}
{{- else }}
{{- range $key := list "endpoint" "url_path" "compression" "insecure" "timeout" }}
TRACE_OTEL_{{ upper $key }}: {{ get $trace.otel $key | toString | quote }}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* The one traced secret, for the Secrets of core, jobservice and registryctl */}}
{{- define "standin.trace.secret" -}}
{{- if and .Values.trace.enabled (eq .Values.trace.provider "jaeger") -}}
TRACE_JAEGER_PASSWORD: {{ .Values.trace.jaeger.password | default "" | b64enc | quote }}
{{- end -}}
{{- end -}}

{{/* Name of the Secret with the public certificate; "" if somebody else terminates TLS */}}
{{- define "standin.tls.public" -}}
{{- $tls := .Values.expose.tls -}}
{{- if eq $tls.certSource "secret" -}}
{{ $tls.secret.secretName }}
{{- else if eq .Values.expose.type "ingress" -}}
{{- if eq $tls.certSource "auto" }}{{ include "standin.name" (list . "ingress") }}{{ end -}}
{{- else -}}
{{ include "standin.name" (list . "nginx") }}
{{- end -}}
{{- end -}}

{{/* "true" if a reverse proxy of our own is in front: every type but ingress and route */}}
{{- define "standin.fronted" -}}
{{- has .Values.expose.type (list "clusterIP" "nodePort" "loadBalancer") -}}
{{- end -}}
