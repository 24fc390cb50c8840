{{/* What the schema cannot see: values that do not go together. Whoever may fail for another reason asks first. */}}
{{- define "cairn.checks" -}}
{{- if and (not .Values.stores) (not .Values.postgres.enabled) }}
{{- fail "stores: there is none; to try Cairn out set postgres.enabled=true, else name a Secret that has the URL of a store, such as --set 'stores[0].name=default,stores[0].secret=cairn-store-default' (the Secret with key url in this namespace)" }}
{{- end }}
{{- if regexMatch "^[0-9]" (include "cairn.fullname" .) }}
{{- fail (printf "fullnameOverride: the name %q begins with a digit, which that of a Service may not; give one that begins with a letter" (include "cairn.fullname" .)) }}
{{- end }}
{{- $names := list }}
{{- if .Values.postgres.enabled }}{{- $names = append $names "default" }}{{- end }}
{{- range $n, $store := .Values.stores }}
{{- if and $.Values.postgres.enabled (eq .name "default") }}
{{- fail (printf "stores[%d].name: with postgres.enabled the store default is the Postgres of the chart; give this one another name, or set postgres.enabled=false" $n) }}
{{- end }}
{{- if has .name $names }}
{{- fail (printf "stores[%d].name: there is a store %q already" $n .name) }}
{{- end }}
{{- $names = append $names .name }}
{{- $seen := list }}
{{- range $m, $one := .namespaces }}
{{- $at := printf "stores[%d].namespaces[%d]" $n $m }}
{{- if and .url .secret }}
{{- fail (printf "%s: it says both url and secret; one of them is the URL for runners in %s" $at .name) }}
{{- end }}
{{- if not (or .url .secret) }}
{{- fail (printf "%s: it says neither url nor secret; give the URL for runners in %s, or the Secret of this namespace that has it, or leave the entry out and make the Secret cairn-store-%s there yourself" $at .name $store.name) }}
{{- end }}
{{- if has .name $seen }}
{{- fail (printf "%s.name: %s is listed twice" $at .name) }}
{{- end }}
{{- if and $store.allowedNamespaces (not (has .name $store.allowedNamespaces)) }}
{{- fail (printf "%s.name: %s is not one of stores[%d].allowedNamespaces, so nobody there could use the Secret" $at .name $n) }}
{{- end }}
{{- if and (eq .name $.Release.Namespace) (eq $store.secret (printf "cairn-store-%s" $store.name)) }}
{{- fail (printf "%s.name: runners in %s, the release's own namespace, read the Secret %s that is there; leave the entry out" $at .name $store.secret) }}
{{- end }}
{{- $seen = append $seen .name }}
{{- end }}
{{- end }}
{{- with .Values.watchNamespaces }}
{{- $watched := . }}
{{- range $n, $store := $.Values.stores }}{{- range $m, $one := .namespaces }}
{{- if not (has .name $watched) }}
{{- fail (printf "stores[%d].namespaces[%d].name: %s is not one of watchNamespaces, so no Workflow there would be run" $n $m .name) }}
{{- end }}
{{- end }}{{- end }}
{{- range $n, $store := $.Values.stores }}{{- range $m, $name := .allowedNamespaces }}
{{- if not (has $name $watched) }}
{{- fail (printf "stores[%d].allowedNamespaces[%d]: %s is not one of watchNamespaces, so no Workflow there would be run" $n $m $name) }}
{{- end }}
{{- end }}{{- end }}
{{- range $n, $name := $.Values.postgres.namespaces }}
{{- if not (has $name $watched) }}
{{- fail (printf "postgres.namespaces[%d]: %s is not one of watchNamespaces, so no Workflow there would be run" $n $name) }}
{{- end }}
{{- end }}
{{- if and $.Values.test.enabled $.Values.test.namespace (not (has $.Values.test.namespace $watched)) }}
{{- fail (printf "test.namespace: %s is not one of watchNamespaces, so no Workflow there would be run" $.Values.test.namespace) }}
{{- end }}
{{- end }}
{{- if and .Values.test.enabled (not (has .Values.test.store $names)) }}
{{- fail (printf "test.store: there is no store %q; there is %s. Name one of them, or set test.enabled=false" .Values.test.store (join ", " $names)) }}
{{- end }}
{{- if and .Values.podDisruptionBudget.enabled (lt (int .Values.replicas) 2) }}
{{- fail "podDisruptionBudget.enabled: with one replica no node could be drained; set replicas=2, or leave the budget out" }}
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled }}
{{- fail "metrics: serviceMonitor and podMonitor would both ask for the same numbers; enable one of them" }}
{{- end }}
{{- with .Values.admissionPolicy }}
{{- if and .enabled (not .allowedServiceAccounts) (not .imagePrefixes) }}
{{- fail "admissionPolicy.enabled: it bounds nothing; give allowedServiceAccounts, imagePrefixes or both" }}
{{- end }}
{{- end }}
{{- if and .Values.networkPolicy.enabled .Values.stores (not .Values.networkPolicy.stores) }}
{{- fail "networkPolicy.stores: is empty, so nobody could reach the stores; give the ways to them, such as [{to: [{ipBlock: {cidr: 10.1.2.3/32}}], ports: [{port: 5432}]}]" }}
{{- end }}
{{- if and .Values.postgres.enabled .Values.postgres.password .Values.postgres.existingSecret }}
{{- fail "postgres: both password and existingSecret are given; one of them is the password" }}
{{- end }}
{{- end }}
