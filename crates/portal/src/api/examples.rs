//! An example of every operation, as a line for a shell: made from the document, with the bodies below. All
//! are run by the tests (`examples::every_example_works`).

use serde_json::{Value, json};

/// Bodies, by method and path. What begins with a dollar is a variable of the shell.
fn body(method: &str, path: &str) -> Option<Value> {
    let path = path.trim_start_matches("/api/v1/");
    Some(match (method, path) {
        ("post", "companies") => json!({ "name": "Fabrikam", "domain": "fabrikam.example" }),
        ("patch", "companies/{id}") => json!({ "external_id": "PSA-1001" }),
        ("post", "company-imports") => {
            json!({ "csv": "name,domain\nTailspin Toys,tailspin.example\n", "dry_run": true })
        }
        ("post", "credentials") => json!({
            "name": "Second", "cloud": "$cloud", "directory_id": "$directory_id",
            "client_id": "$client_id", "client_secret": "$client_secret",
        }),
        ("patch", "credentials/{id}") => json!({ "sync_interval_minutes": 720 }),
        ("post", "credentials/{id}/secrets") => json!({ "client_secret": "$client_secret" }),
        ("post", "credentials/{id}/tests") => json!({}),
        ("post", "credentials/{id}/discoveries") => {
            json!({ "source": "domains", "domains": ["contoso.example"] })
        }
        ("post", "consent-links") => {
            json!({ "credential_id": "$credential_id", "company_name": "Fabrikam" })
        }
        ("post", "consent-requests") => json!({ "credential_id": "$credential_id" }),
        ("post", "mappings") => json!({ "tenant_id": "$tenant_id", "company_name": "Northwind" }),
        ("patch", "mappings/{id}") => json!({ "sync_interval_minutes": 720 }),
        ("post", "mappings/{id}/remap") => json!({ "company_id": "$other_company_id" }),
        ("post", "mappings/{id}/confirmations") => json!({ "name": "users" }),
        ("post", "runs") => json!({ "company_id": "$company_id", "kind": "secure_score" }),
        ("post", "runs/{id}/retry") => json!({ "only_failed": false }),
        ("patch", "alerts/{id}") => json!({ "state": "acknowledged" }),
        ("post", "assessments") => json!({
            "company_id": "$company_id", "name": "First half", "catalogue": "soc2",
            "from": "2026-01-01", "to": "2026-06-30",
        }),
        ("post", "assessments/{id}/evidence") => json!({}),
        ("post", "assessments/{id}/approval") => json!({ "note": "Looked at every statement." }),
        ("post", "channels") => json!({
            "name": "Ticket system", "settings": { "kind": "webhook", "url": "$receiver_url" },
            "rules": { "least_severity": "warning", "events": ["run.finished"] },
        }),
        ("patch", "channels/{id}") => json!({ "least_severity": "critical" }),
        ("post", "intakes") => json!({
            "name": "SIEM", "url": "$receiver_url", "token": "$intake_token",
            "classes": ["user_inventory", "compliance_finding"],
        }),
        ("patch", "intakes/{id}") => json!({ "is_on": false }),
        ("post", "companies/{id}/report-schedules") => json!({
            "channel_id": "$mail_channel_id", "recipients": ["boss@fabrikam.example"], "day": 3,
        }),
        ("post", "invitations") => json!({ "email": "new@halden.example", "role": "technician" }),
        ("patch", "members/{id}") => json!({ "role": "auditor" }),
        ("patch", "organisation") => json!({ "contact": "Ask service@halden.example." }),
        ("put", "contact-form") => json!({
            "is_on": true, "channel_id": "$mail_channel_id", "recipient": "hello@halden.example",
        }),
        _ => return None,
    })
}

/// The variable or word for a hole of a path.
fn filled(path: &str) -> String {
    let noun = path.trim_start_matches("/api/v1/").split('/').next();
    let of_noun = match noun.unwrap_or_default() {
        "companies" => "$company_id",
        "credentials" => "$credential_id",
        "tenants" => "$tenant_id",
        "mappings" => "$mapping_id",
        "runs" => "$run_id",
        "alerts" => "$alert_id",
        "assessments" => "$assessment_id",
        "channels" => "$channel_id",
        "intakes" => "$intake_id",
        "consent-links" => "$consent_link_id",
        "consent-requests" => "$consent_request_id",
        "evidence" => "$evidence_id",
        "members" => "$member_id",
        _ => "$invitation_id",
    };
    path.replace("{id}", of_noun)
        .replace("{section}", "devices")
        .replace("{object_id}", "$device_id")
        .replace("{month}", "$month")
        .replace("{control}", "CC6.1")
        .replace('{', "$")
        .replace('}', "")
}

/// What to type into a shell for an operation.
pub(super) fn sample(method: &str, path: &str, operation: &Value) -> String {
    let mut place = filled(path).replace("/api/v1", "$api");
    let parameters = operation["parameters"].as_array();
    let needed = parameters.into_iter().flatten();
    for (i, name) in needed
        .filter(|one| one["in"] == "query" && one["required"] == true)
        .filter_map(|one| one["name"].as_str())
        .enumerate()
    {
        let mark = if i == 0 { '?' } else { '&' };
        place.push_str(&format!("{mark}{name}=${name}"));
    }
    let mut line = format!("curl -sS -H \"Authorization: Bearer $TOKEN\" \"{place}\"");
    if method != "get" {
        line.push_str(&format!(" -X {}", method.to_uppercase()));
    }
    let Some(body) = body(method, path) else {
        return line;
    };
    line.push_str(" \\\n  -H 'Content-Type: application/json' -d @- <<JSON\n");
    line.push_str(&serde_json::to_string_pretty(&body).unwrap_or_default());
    line.push_str("\nJSON");
    line
}
