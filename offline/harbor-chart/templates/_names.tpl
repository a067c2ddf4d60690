{{/*
Names and labels. Selector labels can never change on a live release, so they are the three the
real chart uses: release, app, component.
*/}}

{{- define "standin.app" -}}
{{- .Values.nameOverride | default "harbor" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The prefix of every object: "harbor" for a release called harbor, "demo-harbor" for demo. */}}
{{- define "standin.base" -}}
{{- $app := .Values.nameOverride | default "harbor" -}}
{{- $long := ternary .Release.Name (printf "%s-%s" .Release.Name $app) (contains $app .Release.Name) -}}
{{- .Values.fullnameOverride | default $long | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* list: root, part of Harbor */}}
{{- define "standin.name" -}}
{{- printf "%s-%s" (include "standin.base" (index . 0)) (index . 1) -}}
{{- end -}}

{{- define "standin.labels" -}}
app: {{ include "standin.app" . | quote }}
release: {{ .Release.Name | quote }}
chart: {{ .Chart.Name }}
heritage: {{ .Release.Service }}
app.kubernetes.io/name: {{ include "standin.app" . | quote }}
app.kubernetes.io/part-of: {{ include "standin.app" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{/* list: root, part of Harbor */}}
{{- define "standin.labels.part" -}}
{{ include "standin.labels" (index . 0) }}
component: {{ index . 1 }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* list: root, part of Harbor */}}
{{- define "standin.labels.pick" -}}
app: {{ include "standin.app" (index . 0) | quote }}
release: {{ (index . 0).Release.Name | quote }}
component: {{ index . 1 }}
{{- end -}}

{{/* Labels of volumeClaimTemplates, which cannot change either: no version among them. */}}
{{- define "standin.labels.claim" -}}
app: {{ include "standin.app" . | quote }}
release: {{ .Release.Name | quote }}
chart: {{ .Chart.Name }}
heritage: {{ .Release.Service }}
{{- end -}}

{{/* metadata of ConfigMaps, Secrets and Services. list: root, full name */}}
{{- define "standin.meta" -}}
name: {{ index . 1 | quote }}
namespace: {{ (index . 0).Release.Namespace | quote }}
labels:
  {{- include "standin.labels" (index . 0) | nindent 2 }}
{{- end -}}

{{/* metadata of what belongs to one part of Harbor. list: root, full name, part */}}
{{- define "standin.meta.part" -}}
name: {{ index . 1 | quote }}
namespace: {{ (index . 0).Release.Namespace | quote }}
labels:
  {{- include "standin.labels.part" (list (index . 0) (index . 2)) | nindent 2 }}
{{- end -}}
