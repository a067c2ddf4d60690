{{/* Pieces of pod specs. */}}

{{/*
What every pod has in common. dict: root, part, at (the component's values), and where they
differ: uid, grace (seconds), lazyGroup (chown volumes only when the root differs)
*/}}
{{- define "standin.pod" -}}
{{- $root := .root -}}
{{- $part := .part -}}
automountServiceAccountToken: {{ .at.automountServiceAccountToken | default false }}
securityContext:
  runAsUser: {{ .uid | default 10000 }}
  fsGroup: {{ .uid | default 10000 }}
  {{- if .lazyGroup }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
{{- with .grace }}
terminationGracePeriodSeconds: {{ . }}
{{- end }}
{{- with .at.serviceAccountName }}
serviceAccountName: {{ . }}
{{- end }}
{{- with .at.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .at.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .at.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .at.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .at.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- $pods := include "standin.labels.pick" (list $root $part) | fromYaml }}
  {{- range . }}
  - {{ set (deepCopy .) "labelSelector" (dict "matchLabels" $pods) | toYaml | nindent 4 | trim }}
  {{- end }}
{{- end }}
{{- with .at.initContainers }}
initContainers: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Head of a container. list: root, values with image and resources */}}
{{- define "standin.container" -}}
{{- $root := index . 0 -}}
{{- $at := index . 1 -}}
image: {{ printf "%s:%s" $at.image.repository $at.image.tag | quote }}
imagePullPolicy: {{ $root.Values.imagePullPolicy }}
{{- with $root.Values.containerSecurityContext }}
securityContext: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $at.resources }}
resources: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A GET probe. dict: path, port, and any of the probe's own numbers under numbers */}}
{{- define "standin.probe" -}}
httpGet:
  path: {{ .path }}
  port: {{ .port }}
  scheme: {{ .scheme | default "HTTP" }}
{{- with .numbers }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Liveness after five minutes, readiness early: most components. dict: path, port, early, scheme */}}
{{- define "standin.probes" -}}
livenessProbe:
  {{- include "standin.probe" (merge (dict "numbers" (dict "initialDelaySeconds" 300 "periodSeconds" 10)) .) | nindent 2 }}
readinessProbe:
  {{- include "standin.probe" (merge (dict "numbers" (dict "initialDelaySeconds" (.early | default 1) "periodSeconds" 10)) .) | nindent 2 }}
{{- end -}}

{{/* One environment variable out of a Secret. list: variable, Secret, key, and true if it may be missing */}}
{{- define "standin.env.secret" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 | quote }}
      key: {{ index . 2 | quote }}
      {{- if gt (len .) 3 }}
      optional: {{ index . 3 }}
      {{- end }}
{{- end -}}

{{/* A map, given as YAML text, as a list of environment variables */}}
{{- define "standin.env.map" -}}
{{- range $name, $value := fromYaml . }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* The two secrets by which core, jobservice and registryctl know each other */}}
{{- define "standin.env.coreSecret" -}}
{{- include "standin.env.secret" (list "CORE_SECRET" (.Values.core.existingSecret | default (include "standin.name" (list . "core"))) "secret") -}}
{{- end -}}
{{- define "standin.env.jobSecret" -}}
{{- $job := .Values.jobservice -}}
{{- if $job.existingSecret -}}
{{- include "standin.env.secret" (list "JOBSERVICE_SECRET" $job.existingSecret $job.existingSecretKey) -}}
{{- else -}}
{{- include "standin.env.secret" (list "JOBSERVICE_SECRET" (include "standin.name" (list . "jobservice")) "JOBSERVICE_SECRET") -}}
{{- end -}}
{{- end -}}

{{/* A mounted path, which may lie in a folder of its volume. list: volume, path, subPath */}}
{{- define "standin.mount" -}}
- name: {{ index . 0 }}
  mountPath: {{ index . 1 }}
  {{- with index . 2 }}
  subPath: {{ . }}
  {{- end }}
{{- end -}}

{{- define "standin.ca.mount" -}}
{{- if .Values.caBundleSecretName -}}
{{- include "standin.mount" (list "ca-bundle-certs" "/harbor_cust_cert/custom-ca.crt" "ca.crt") -}}
{{- end -}}
{{- end -}}

{{- define "standin.ca.volume" -}}
{{- with .Values.caBundleSecretName -}}
- name: ca-bundle-certs
  secret:
    secretName: {{ . | quote }}
{{- end -}}
{{- end -}}

{{/* spec of a claim, in a PVC or a StatefulSet. One block of persistence.persistentVolumeClaim */}}
{{- define "standin.claim" -}}
accessModes:
  - {{ .accessMode }}
resources:
  requests:
    storage: {{ .size | quote }}
{{- if eq .storageClass "-" }}
storageClassName: ""
{{- else if .storageClass }}
storageClassName: {{ .storageClass | quote }}
{{- end }}
{{- end -}}

{{/* The StatefulSet's claim. list: root, name, block */}}
{{- define "standin.claim.template" -}}
{{- $block := index . 2 -}}
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata:
    name: {{ index . 1 }}
    labels:
      {{- include "standin.labels.claim" (index . 0) | nindent 6 }}
    {{- with $block.annotations }}
    annotations: {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    {{- include "standin.claim" $block | nindent 4 }}
{{- end -}}

{{/* A claim of its own, kept at uninstall if persistence.resourcePolicy says so. list: root, part, block */}}
{{- define "standin.claim.object" -}}
{{- $root := index . 0 -}}
{{- $block := index . 2 -}}
{{- $notes := deepCopy ($block.annotations | default dict) -}}
{{- if eq $root.Values.persistence.resourcePolicy "keep" }}{{ $_ := set $notes "helm.sh/resource-policy" "keep" }}{{ end -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  {{- include "standin.meta.part" (list $root (include "standin.name" (list $root (index . 1))) (index . 1)) | nindent 2 }}
  {{- with $notes }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "standin.claim" $block | nindent 2 }}
{{- end -}}

{{/* Deployments that hold a ReadWriteOnce volume may need Recreate */}}
{{- define "standin.strategy" -}}
type: {{ .Values.updateStrategy.type }}
{{- if eq .Values.updateStrategy.type "Recreate" }}
rollingUpdate: null
{{- end }}
{{- end -}}

{{/* IP families of a Service */}}
{{- define "standin.families" -}}
{{- with .Values.ipFamily.policy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.ipFamily.families }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end -}}

{{/* A Service inside the cluster. dict: root, part, ports (YAML), annotations, type */}}
{{- define "standin.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "standin.meta" (list .root (include "standin.name" (list .root .part))) | nindent 2 }}
  {{- with .annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with .type }}
  type: {{ . }}
  {{- end }}
  {{- include "standin.families" .root | indent 2 }}
  selector:
    {{- include "standin.labels.pick" (list .root .part) | nindent 4 }}
  ports:
    {{- .ports | nindent 4 }}
    {{- with .metrics }}
    - name: http-metrics
      port: {{ . }}
    {{- end }}
{{- end -}}

{{/* Some ingress controllers only reach NodePorts; the real chart decides by the controller alone */}}
{{- define "standin.serviceType" -}}
{{- if has .Values.expose.ingress.controller (list "gce" "alb" "f5-bigip") }}NodePort{{ end -}}
{{- end -}}
