{{/* The settings file, and what of it follows from other values. */}}

{{/* Bytes of a quantity such as 4Gi, 512Mi or 1000000. */}}
{{- define "streamsampler.bytes" -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 }}
{{- $quantity := toString . }}
{{- $unit := regexFind "[A-Za-z]+$" $quantity }}
{{- $number := trimSuffix $unit $quantity }}
{{- if and $unit (not (hasKey $units $unit)) }}
{{- fail (printf "%s: expected a number of bytes with Ki, Mi, Gi or Ti, such as 4Gi." $quantity) }}
{{- end }}
{{- mulf (float64 $number) (ternary 1 (get $units $unit) (eq $unit "")) | floor | int64 }}
{{- end }}

{{- define "streamsampler.kafka" -}}
{{- if not .Values.kafka.bootstrapServers }}
{{- fail "kafka.bootstrapServers is not set: expected the brokers' addresses, such as kafka:9092." }}
{{- end }}
bootstrap.servers: {{ .Values.kafka.bootstrapServers | quote }}
{{- $tls := .Values.kafka.tls }}
{{- $sasl := .Values.kafka.sasl }}
{{- if or $tls.enabled $sasl.mechanism }}
security.protocol: {{ printf "%s%s" (ternary "SASL_" "" (ne $sasl.mechanism "")) (ternary "SSL" "PLAINTEXT" $tls.enabled) }}
{{- end }}
{{- if and $tls.enabled $tls.existingSecret }}
{{- if $tls.caKey }}
ssl.ca.location: /etc/streamsampler/tls/{{ $tls.caKey }}
{{- end }}
{{- if $tls.certKey }}
ssl.certificate.location: /etc/streamsampler/tls/{{ $tls.certKey }}
ssl.key.location: /etc/streamsampler/tls/{{ $tls.keyKey }}
{{- end }}
{{- end }}
{{- with $sasl.mechanism }}
sasl.mechanism: {{ . }}
{{- end }}
{{- if eq $sasl.mechanism "OAUTHBEARER" }}
{{- if not $sasl.oauth.tokenEndpointUrl }}
{{- fail "kafka.sasl.oauth.tokenEndpointUrl is not set: expected where clients get their tokens, such as https://login.example/oauth2/token." }}
{{- end }}
sasl.oauthbearer.method: oidc
sasl.oauthbearer.token.endpoint.url: {{ $sasl.oauth.tokenEndpointUrl | quote }}
{{- with $sasl.oauth.scope }}
sasl.oauthbearer.scope: {{ . | quote }}
{{- end }}
{{- end }}
{{- with .Values.kafka.properties }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What follows: an eighth of the memory for memtables, a sixteenth for the block cache, half for
     the trace tables at 100 bytes a span; half of the volume for spans. */}}
{{- define "streamsampler.derived" -}}
{{- $memory := include "streamsampler.bytes" .Values.resources.limits.memory | int64 }}
{{- $disk := div (include "streamsampler.bytes" .Values.persistence.size | int64) (int64 .Values.workersPerPod) }}
kafka:
  {{- include "streamsampler.kafka" . | nindent 2 }}
store:
  path: /var/lib/streamsampler/spans
  write_buffer_bytes: {{ div $memory 8 }}
  block_cache_bytes: {{ div $memory 16 }}
  kept_bytes: {{ div $disk 5 }}
limits:
  buffered_spans: {{ div $memory 200 }}
  buffered_bytes: {{ div $disk 2 }}
{{- if .Values.policies.set }}
# Until the topic has them: Helm writes them there when workers are ready, and those are when they have some.
policies_file: /etc/streamsampler/config/policies.yaml
{{- end }}
http:
  address: 0.0.0.0:9478
topology:
  path: /var/lib/streamsampler/topology
  web_address: 0.0.0.0:6066
{{- end }}

{{- define "streamsampler.config" -}}
{{- $derived := include "streamsampler.derived" . | fromYaml }}
{{- range $name, $value := $derived.kafka }}
{{- $_ := set $derived.kafka $name (toString $value) }}
{{- end }}
{{- mergeOverwrite $derived (deepCopy .Values.config) | toYaml }}
{{- end }}

{{- define "streamsampler.configMapData" -}}
config.yaml: |
  {{- include "streamsampler.config" . | nindent 2 }}
{{- with .Values.policies.set }}
policies.yaml: |
  {{- . | nindent 2 }}
{{- end }}
{{- end }}
