{{/* A job that runs one command before or after an install or upgrade; a list of the chart's scope,
     the job's name, its hooks, its weight and the command's arguments. */}}
{{- define "streamsampler.setup" -}}
{{- $ := index . 0 }}
{{- $name := printf "%s-%s" (include "streamsampler.fullname" $) (index . 1) }}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $name }}
  labels:
    {{- include "streamsampler.labels" $ | nindent 4 }}
    app.kubernetes.io/component: {{ index . 1 }}
  annotations:
    helm.sh/hook: {{ index . 2 }}
    helm.sh/hook-weight: {{ index . 3 | quote }}
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  # Brokers or topics may come up with the same release.
  backoffLimit: 10
  template:
    metadata:
      labels:
        {{- include "streamsampler.selector" $ | nindent 8 }}
        app.kubernetes.io/component: {{ index . 1 }}
    spec:
      restartPolicy: Never
      automountServiceAccountToken: false
      {{- with $.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $.Values.podSecurityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $.Values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $.Values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ index . 1 }}
          {{- include "streamsampler.container" $ | nindent 10 }}
          args:
            {{- toYaml (index . 4) | nindent 12 }}
          {{- with include "streamsampler.env" $ }}
          env:
            {{- . | nindent 12 }}
          {{- end }}
          resources:
            requests: {cpu: 100m, memory: 256Mi}
            limits: {memory: 512Mi}
          volumeMounts:
            {{- include "streamsampler.mounts" $ | nindent 12 }}
      volumes:
        - name: config
          configMap: {name: {{ include "streamsampler.fullname" $ }}-setup}
        {{- include "streamsampler.volumes" $ | nindent 8 }}
{{- end }}
