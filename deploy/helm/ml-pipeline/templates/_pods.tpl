{{/* What every pod has, whoever's image it runs. */}}
{{- define "velox.pod" -}}
automountServiceAccountToken: false
# A Service named kafka would make KAFKA_PORT, which looks like a setting.
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .uid | default 1000 }}
  runAsGroup: {{ .uid | default 1000 }}
  fsGroup: {{ .uid | default 1000 }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "velox.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: {{ not .writes }}
capabilities: {drop: [ALL]}
{{- end }}

{{/* Over zones and nodes, each generation of pods for itself, so that a rollout does not count the old ones. */}}
{{- define "velox.spread" -}}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "velox.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}

{{- define "velox.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Settings that all processes share come from the ConfigMap; each secret setting names its file. */}}
{{- define "velox.env" -}}
{{- $keys := include "velox.secretKeys" .root | fromJsonArray -}}
envFrom:
  - configMapRef: {name: velox-settings}
env:
  {{- range $keys }}
  {{- if not (has . ($.without | default list)) }}
  - {name: {{ . }}_FILE, value: /run/secrets/velox/{{ . }}}
  {{- end }}
  {{- end }}
  {{- range $name, $value := .settings }}
  - {name: {{ $name }}, value: {{ include "velox.text" $value | quote }}}
  {{- end }}
{{- end }}

{{- define "velox.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: pipelines, mountPath: /app/pipelines, readOnly: true}
- {name: secrets, mountPath: /run/secrets/velox, readOnly: true}
{{- end }}

{{- define "velox.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 512Mi}
- name: pipelines
  configMap: {name: velox-pipelines}
- name: secrets
  secret:
    secretName: {{ include "velox.secretName" .root }}
    defaultMode: 0440
    items:
      {{- range include "velox.secretKeys" .root | fromJsonArray }}
      {{- if not (has . ($.without | default list)) }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
      {{- end }}
{{- end }}

{{/* A change of settings is a change of the pod, and rolls it out. */}}
{{- define "velox.checksums" -}}
velox.io/settings: {{ include (print .Template.BasePath "/settings.yaml") . | sha256sum }}
{{- if not (or .Values.secrets.existingSecret .Values.secrets.external.enabled) }}
velox.io/secrets: {{ include (print .Template.BasePath "/secrets.yaml") . | sha256sum }}
{{- end }}
{{- end }}

{{/* Alive is not ready: only what a restart mends makes /livez fail, and /readyz takes a pod out of the Service. */}}
{{- define "velox.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: {{ .port }}}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: {{ div (int .startupS) 2 }}
readinessProbe:
  httpGet: {path: /readyz, port: {{ .port }}}
  periodSeconds: 5
  timeoutSeconds: 4
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /livez, port: {{ .port }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end }}

{{/* A voluntary disruption takes one pod at a time; with one replica it may take that one, or nodes could not be drained. */}}
{{- define "velox.disruption" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .app }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "velox.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "velox.selector" . | nindent 6 }}
{{- end }}

{{- define "velox.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .account.name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "velox.labels" . | nindent 4 }}
  {{- with .account.annotations }}
  annotations: {{ toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
