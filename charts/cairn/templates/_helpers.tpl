{{/* Names, at most 40 characters, so that what is put behind them fits a label. */}}
{{- define "cairn.fullname" -}}
{{- $chart := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}{{ .Values.fullnameOverride }}
{{- else if contains $chart .Release.Name -}}{{ .Release.Name | replace "." "-" | trunc 40 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name $chart | replace "." "-" | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "cairn.operator" -}}{{ include "cairn.fullname" . }}-operator{{- end }}
{{- define "cairn.postgres" -}}{{ include "cairn.fullname" . }}-postgres{{- end }}

{{/* Of objects that belong to no namespace: two releases of one name must not meet. */}}
{{- define "cairn.clusterName" -}}{{ .Release.Namespace }}.{{ include "cairn.fullname" . }}{{- end }}

{{- define "cairn.serviceAccount" -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.name: is not given, and serviceAccount.create is false; name the ServiceAccount that is there" -}}
{{- end -}}
{{- default (include "cairn.operator" .) .Values.serviceAccount.name -}}
{{- end }}

{{- define "cairn.installation" -}}
{{- $name := default (printf "%s-%s" .Release.Namespace .Release.Name) .Values.installation -}}
{{- if gt (len $name) 63 -}}
{{- fail (printf "installation: %q, made of namespace and release, is longer than 63 characters; give a shorter name that no other installation on these stores has" $name) -}}
{{- end -}}
{{- $name | replace "." "-" -}}
{{- end }}

{{/* An image by digest if there is one, else by tag: takes (dict "image" ... "tag" ...). */}}
{{- define "cairn.image" -}}
{{- if .image.digest -}}{{ .image.repository }}@{{ .image.digest }}
{{- else -}}{{ .image.repository }}:{{ default .tag .image.tag }}
{{- end -}}
{{- end }}

{{- define "cairn.ownImage" -}}{{ include "cairn.image" (dict "image" .Values.image "tag" .Chart.AppVersion) }}{{- end }}
{{- define "cairn.runnerImage" -}}{{ default (include "cairn.ownImage" .) .Values.runner.image }}{{- end }}

{{/* Labels of an object: takes (dict "top" $ "component" ...); the chart's own win over those of the values. */}}
{{- define "cairn.labels" -}}
{{- $own := dict
    "app.kubernetes.io/version" .top.Chart.AppVersion
    "app.kubernetes.io/part-of" "cairn"
    "app.kubernetes.io/managed-by" .top.Release.Service
    "helm.sh/chart" (printf "%s-%s" .top.Chart.Name .top.Chart.Version | replace "+" "_") -}}
{{- merge (include "cairn.selector" . | fromYaml) $own .top.Values.commonLabels | toYaml -}}
{{- end }}

{{/* Labels of a pod: without versions, so that an upgrade starts only those anew that have changed. */}}
{{- define "cairn.podLabels" -}}
{{- merge (include "cairn.selector" . | fromYaml) (default dict .more) .top.Values.commonLabels | toYaml -}}
{{- end }}

{{- define "cairn.selector" -}}
app.kubernetes.io/name: cairn-{{ .component }}
app.kubernetes.io/instance: {{ .top.Release.Name }}
{{- end }}

{{/* What every container of the chart may do: nothing. */}}
{{- define "cairn.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Namespaces in which runners of this installation are known to be, as JSON: what is named anywhere. */}}
{{- define "cairn.runnerNamespaces" -}}
{{- $found := list -}}
{{- if .Values.watchNamespaces -}}
{{- $found = .Values.watchNamespaces -}}
{{- else -}}
{{- $found = list .Release.Namespace -}}
{{- if .Values.postgres.enabled -}}{{- $found = concat $found .Values.postgres.namespaces -}}{{- end -}}
{{- range .Values.stores -}}{{- range .namespaces -}}{{- $found = append $found .name -}}{{- end -}}{{- end -}}
{{- end -}}
{{- concat $found .Values.networkPolicy.runner.namespaces | uniq | toJson -}}
{{- end }}

{{- define "cairn.testNamespace" -}}
{{- default (first (append .Values.watchNamespaces .Release.Namespace)) .Values.test.namespace -}}
{{- end }}

{{/* What the operator is told of stores beside their URLs, by file names `NAME.capacity`, `NAME.namespaces`, as JSON. */}}
{{- define "cairn.storeFacts" -}}
{{- $found := dict -}}
{{- range $name, $capacity := include "cairn.capacities" . | fromJson -}}
{{- $_ := set $found (printf "%s.capacity" $name) $capacity -}}
{{- end -}}
{{- range .Values.stores -}}
{{- if .allowedNamespaces -}}{{- $_ := set $found (printf "%s.namespaces" .name) (join " " .allowedNamespaces) -}}{{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end }}

{{/* What each store may hold, by its name, as JSON; a store of which nobody knows is left out. */}}
{{- define "cairn.capacities" -}}
{{- $found := dict -}}
{{- with .Values.postgres -}}
{{- $ours := and .persistence.enabled (not .persistence.existingClaim) -}}
{{- if and .enabled (or .capacity $ours) -}}
{{- $_ := set $found "default" (default (include "cairn.roomForTables" .persistence.size) .capacity) -}}
{{- end -}}
{{- end -}}
{{- range .Values.stores -}}{{- if .capacity -}}{{- $_ := set $found .name .capacity -}}{{- end -}}{{- end -}}
{{- $found | toJson -}}
{{- end }}

{{/* What a volume has for the tables of a Postgres: its log takes up to 1Gi by default (max_wal_size). */}}
{{- define "cairn.roomForTables" -}}
{{- $mebibytes := dict "Mi" 1 "Gi" 1024 "Ti" 1048576 -}}
{{- $volume := mul (regexFind "^[0-9]+" .) (get $mebibytes (regexFind "[A-Z]i$" .)) -}}
{{- printf "%dMi" (max (sub $volume 1024) (div $volume 2)) -}}
{{- end }}

{{/* The folder that the operator reads of a store: takes (dict "top" $ "name" ... "secret" ... "key" ...). */}}
{{- define "cairn.storeVolume" -}}
name: store-{{ .name }}
projected:
  sources:
    - secret: {name: {{ .secret | quote }}, items: [{key: {{ default "url" .key | quote }}, path: url}]}
    {{- $facts := include "cairn.storeFacts" .top | fromJson }}
    {{- range $fact := list "capacity" "namespaces" }}
    {{- $key := printf "%s.%s" $.name $fact }}
    {{- if hasKey $facts $key }}
    - configMap: {name: {{ include "cairn.fullname" $.top }}-stores, items: [{key: {{ $key | quote }}, path: {{ $fact }}}]}
    {{- end }}
    {{- end }}
{{- end }}

{{/* Where the URL of the store is that is dumped, as JSON. */}}
{{- define "cairn.backupSecret" -}}
{{- $found := dict -}}
{{- if .Values.backup.secret -}}{{- $found = dict "name" .Values.backup.secret "key" "url" -}}
{{- else if .Values.postgres.enabled -}}{{- $found = dict "name" "cairn-store-default" "key" "url" -}}
{{- else -}}
{{- range .Values.stores -}}
{{- if eq .name "default" -}}{{- $found = dict "name" .secret "key" (default "url" .key) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $found -}}
{{- fail "backup.secret: is not given, and there is no store default; name the Secret whose key url is the URL of the store to dump" -}}
{{- end -}}
{{- $found | toJson -}}
{{- end }}
