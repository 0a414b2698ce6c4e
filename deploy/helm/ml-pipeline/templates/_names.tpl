{{/* Labels of everything; the argument is (dict "root" $ "app" NAME "component" WHAT). */}}
{{- define "velox.labels" -}}
app: {{ .app }}
app.kubernetes.io/name: ml-pipeline
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component | default .app }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{/* What never changes in a Deployment's life. */}}
{{- define "velox.selector" -}}
app: {{ .app }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "velox.image" -}}
{{ .image.repository }}:{{ include "velox.text" (.image.tag | default .root.Chart.AppVersion) }}
{{- end }}

{{/* Whether processes read secrets from files, and of which names. */}}
{{- define "velox.secretName" -}}
{{ .Values.secrets.existingSecret | default "velox-secrets" }}
{{- end }}

{{- define "velox.secretKeys" -}}
{{- $made := not (or .Values.secrets.existingSecret .Values.secrets.external.enabled) -}}
{{- ternary (keys .Values.secrets.values | sortAlpha) .Values.secrets.keys $made | toJson -}}
{{- end }}

{{- define "velox.kafka" -}}
{{- if .Values.kafka.enabled -}}
kafka:9092
{{- else -}}
{{ required "settings.KAFKA_BOOTSTRAP_SERVER: name the brokers, as kafka.enabled is false" .Values.settings.KAFKA_BOOTSTRAP_SERVER }}
{{- end -}}
{{- end }}

{{- define "velox.graceS" -}}
{{ add (int (.Values.settings.DRAIN_S | default 20)) 15 }}
{{- end }}

{{/* The consumers that are to be: each entry of pipelines over mlWorker, as JSON {"all": [...]}. */}}
{{- define "velox.pipelines" -}}
{{- $all := list -}}
{{- range .Values.pipelines -}}
{{- $one := mergeOverwrite (deepCopy $.Values.mlWorker) (deepCopy .) -}}
{{- if ne $one.enabled false -}}
{{- $most := int (ternary $one.autoscaling.maxReplicas $one.replicas $one.autoscaling.enabled) -}}
{{- if gt $most (int $one.partitions) -}}
{{- fail (printf "pipelines: %s: %d replicas for %d partitions: those beyond have nothing to do; raise partitions, or lower replicas or autoscaling.maxReplicas" $one.name $most (int $one.partitions)) -}}
{{- end -}}
{{- if and $one.autoscaling.enabled (lt (int $one.autoscaling.minReplicas) 1) -}}
{{- fail (printf "pipelines: %s: autoscaling.minReplicas has to be 1 at least" $one.name) -}}
{{- end -}}
{{- $_ := set $one "deployment" ($one.deployment | default (printf "consumer-%s" $one.name)) -}}
{{- $all = append $all $one -}}
{{- end -}}
{{- end -}}
{{- dict "all" $all | toJson -}}
{{- end }}

{{/* A pipeline's file: its lines, without those that its settings replace, and then these. */}}
{{- define "velox.pipelineFile" -}}
{{- $content := "" -}}
{{- if .pipeline.file -}}
{{- $content = .root.Files.Get (printf "files/pipelines/%s" .pipeline.file) -}}
{{- if not $content -}}
{{- fail (printf "pipelines: %s: there is no pipelines/%s" .pipeline.name .pipeline.file) -}}
{{- end -}}
{{- end -}}
{{- $own := dict "KAFKA_PARTITIONS" .pipeline.partitions | merge (deepCopy (.pipeline.settings | default dict)) -}}
{{- range $name, $_ := $own -}}
{{- $content = regexReplaceAll (printf "(?m)^%s=.*\n?" $name) $content "" -}}
{{- end -}}
{{- $content = regexReplaceAll "(?m)^(#.*)?\n" $content "" -}}
{{ $content }}
{{- range $name, $value := $own }}
{{- if contains "'" ($value | toString) -}}
{{- fail (printf "pipelines: %s: %s: a value cannot hold a single quote" $.pipeline.name $name) -}}
{{- end }}
{{ $name }}='{{ include "velox.text" $value }}'
{{- end }}
{{- end }}

{{/* A number as people write it: Helm reads all of them as floats, and prints 2.147483648e+09. */}}
{{- define "velox.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq (floor .) . -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- else -}}{{ . }}{{- end -}}
{{- end }}
