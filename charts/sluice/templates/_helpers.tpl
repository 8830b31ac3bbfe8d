{{- /* sluice.labels returns the labels that all objects have. */ -}}
{{- define "sluice.labels" -}}
{{- $own := dict
  "app.kubernetes.io/part-of" "sluice"
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_")) -}}
{{- mergeOverwrite (deepCopy .Values.labels) $own | toYaml -}}
{{- end -}}

{{- /* sluice.image returns the image of the operator. */ -}}
{{- define "sluice.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* sluice.apiServer returns the environment variables with the address of the API server. */ -}}
{{- define "sluice.apiServer" -}}
{{- with .Values.apiServer -}}
{{- if .host -}}
- name: KUBERNETES_SERVICE_HOST
  value: {{ .host | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ .port | quote }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /*
sluice.enforcerSpec returns the spec of the Enforcer: the fields in enforcer.spec, and defaults that
follow from other values of the chart.
*/ -}}
{{- define "sluice.enforcerSpec" -}}
{{- $defaults := dict -}}
{{- with .Values.imagePullSecrets -}}
{{- $names := list -}}
{{- range . }}{{ $names = append $names .name }}{{ end -}}
{{- $_ := set $defaults "imagePullSecrets" $names -}}
{{- end -}}
{{- if .Values.apiServer.host -}}
{{- $_ := set $defaults "apiServer" .Values.apiServer -}}
{{- end -}}
{{- if .Values.openshift.enabled -}}
{{- $_ := set $defaults "seLinuxType" "spc_t" -}}
{{- end -}}
{{- with .Values.monitoring.labels -}}
{{- $_ := set $defaults "monitoring" (dict "labels" .) -}}
{{- end -}}
{{- range $key, $value := .Values.enforcer.spec }}{{ $_ := set $defaults $key $value }}{{ end -}}
{{- toYaml $defaults -}}
{{- end -}}
