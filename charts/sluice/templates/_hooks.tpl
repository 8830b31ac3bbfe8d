{{- /*
sluice.hook returns a Job that runs `sluice operator`, its service account, and the roles of this
account. The parameters are the root context, the name, the hook events, the arguments of the
program, the rules of the ClusterRole, and the rules of the Role.
*/ -}}
{{- define "sluice.hook" -}}
{{- $root := .root -}}
{{- $roles := list (dict "kind" "ClusterRole" "rules" .clusterRules) -}}
{{- $rules := .rules -}}
{{- if $root.Values.openshift.enabled -}}
{{- $rules = append $rules (dict "apiGroups" (list "security.openshift.io")
  "resources" (list "securitycontextconstraints") "resourceNames" (list "hostnetwork-v2") "verbs" (list "use")) -}}
{{- end -}}
{{- if $rules -}}
{{- $roles = append $roles (dict "kind" "Role" "rules" $rules) -}}
{{- end -}}
apiVersion: v1
kind: ServiceAccount
{{ include "sluice.hookMetadata" (dict "root" $root "name" .name "namespaced" true "events" .events "weight" "-1") }}
{{- range $roles }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}
{{ include "sluice.hookMetadata" (dict "root" $root "name" $.name "namespaced" (eq .kind "Role") "events" $.events "weight" "-1") }}
rules:
  {{- toYaml .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
{{ include "sluice.hookMetadata" (dict "root" $root "name" $.name "namespaced" (eq .kind "Role") "events" $.events "weight" "-1") }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ $.name }}
subjects:
  - kind: ServiceAccount
    name: {{ $.name }}
    namespace: {{ $root.Release.Namespace }}
{{- end }}
---
apiVersion: batch/v1
kind: Job
{{ include "sluice.hookMetadata" (dict "root" $root "name" .name "namespaced" true "events" .events "weight" "0") }}
spec:
  backoffLimit: {{ .backoffLimit }}
  template:
    metadata:
      labels:
        app.kubernetes.io/name: sluice
        app.kubernetes.io/component: hook
    spec:
      serviceAccountName: {{ .name }}
      restartPolicy: Never
      enableServiceLinks: false
      # As for the operator: policies must not apply to this pod.
      hostNetwork: true
      securityContext:
        runAsNonRoot: true
        seccompProfile:
          type: RuntimeDefault
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.operator.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.operator.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: hook
          image: {{ include "sluice.image" $root | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args:
            - operator
            - --namespace={{ $root.Release.Namespace }}
            {{- toYaml .args | nindent 12 }}
            - --log-format={{ $root.Values.operator.log.format }}
          env:
            {{- include "sluice.apiServer" $root | default "[]" | nindent 12 }}
          {{- with $root.Values.operator.resources }}
          resources:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
{{- end -}}

{{- define "sluice.hookMetadata" -}}
metadata:
  name: {{ .name }}
  {{- if .namespaced }}
  namespace: {{ .root.Release.Namespace }}
  {{- end }}
  labels:
    {{- mergeOverwrite (include "sluice.labels" .root | fromYaml) (dict
      "app.kubernetes.io/name" "sluice" "app.kubernetes.io/component" "hook") | toYaml | nindent 4 }}
  annotations:
    {{- mergeOverwrite (deepCopy .root.Values.annotations) (dict
      "helm.sh/hook" .events
      "helm.sh/hook-weight" .weight
      "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded"
      "helm.sh/hook-output-log-policy" "hook-failed") | toYaml | nindent 4 }}
{{- end -}}
