#!/usr/bin/env bash
# The main job by the API: a credential, a customer's consent, a mapping, a sync, and what it read.
#
#   API=https://portal.example.com/api/v1 TOKEN=tnt_… DIRECTORY_ID=… CLIENT_ID=… CLIENT_SECRET=… \
#   CUSTOMER_DIRECTORY_ID=… docs/main-job.sh
#
# Run again after a failure it goes on: each request has a key, so that nothing is done twice in a day.
set -euo pipefail

call() { # call METHOD PATH [BODY]
  local key=()
  [ "$1" = POST ] && key=(-H "Idempotency-Key: main-job-$(printf %s "$*" | sha256sum | cut -c1-32)")
  curl -sS --fail-with-body -X "$1" -H "Authorization: Bearer $TOKEN" "${key[@]}" \
    -H 'Content-Type: application/json' ${3:+-d "$3"} "$API$2" || { echo "$1 $2 failed" >&2; exit 1; }
}

credential=$(call POST /credentials "$(jq -n --arg cloud "${CLOUD:-global}" --arg directory "$DIRECTORY_ID" \
  --arg client "$CLIENT_ID" --arg secret "$CLIENT_SECRET" \
  '{name: "Main", cloud: $cloud, directory_id: $directory, client_id: $client, client_secret: $secret}')" | jq -r .id)
echo "Credential $credential"

request=$(call POST /consent-requests "$(jq -n --arg credential "$credential" --arg directory "$CUSTOMER_DIRECTORY_ID" \
  '{credential_id: $credential, directory_id: $directory}')")
url=$(jq -r .url <<<"$request")
echo "An administrator of the customer opens: $url"
if [ -n "${OPEN:-}" ]; then $OPEN "$url"; fi

# Until the administrator has accepted, and Microsoft has told all its servers.
for _ in $(seq 600); do
  state=$(call GET "/consent-requests/$(jq -r .id <<<"$request")")
  tenant=$(jq -r '.tenant_id // empty' <<<"$state")
  [ -n "$tenant" ] && break
  sleep 1
done
echo "Consent: $(jq -r .outcome <<<"$state")"

mapping=$(call POST /mappings "$(jq -n --arg tenant "$tenant" '{tenant_id: $tenant}')")
company=$(jq -r .company_id <<<"$mapping")

# Its first syncs start at once.
for _ in $(seq 600); do
  open=$(call GET "/runs?company_id=$company" | jq '[.value[] | select(.state | IN("queued", "running", "retrying"))] | length')
  [ "$open" = 0 ] && break
  sleep 1
done
call GET "/runs?company_id=$company" | jq -r '.value[] | "\(.kind): \(.state)"'
call GET "/companies/$company/users?limit=1&total=true" | jq -r '"\(.total) users"'
call GET "/companies/$company/users?mfa=missing&limit=1&total=true" | jq -r '"\(.total) of them without MFA"'
call GET "/companies/$company/secure-scores" | jq -r '.value | max_by(.day) | "Secure Score: \(.percent | round) %"'
