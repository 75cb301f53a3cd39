//! What messages say in plain text: what happened, what to do, and a link.

use serde_json::Value;
use url::Url;

/// The text of a message from the body of its delivery.
pub(super) fn of(body: &Value, partner: &str, root: &Url) -> String {
    let mut text = if let Some(says) = body["test"]["text"].as_str() {
        format!("{says}\n")
    } else if let Some(says) = body["text"].as_str() {
        format!("{says}\n")
    } else if body["alert"].is_object() {
        alert(&body["alert"], root)
    } else if body["digest"].is_object() {
        digest(&body["digest"], root)
    } else {
        String::new()
    };
    text.push_str(&format!("\n-- \n{partner}, by Tenantry: {root}\n"));
    text
}

fn alert(alert: &Value, root: &Url) -> String {
    let word = |name: &str| alert[name].as_str().unwrap_or_default();
    let mut text = format!("{}\n\n{}\n\n", word("title"), word("text"));
    if !word("company_name").is_empty() {
        text.push_str(&format!("Company: {}\n", word("company_name")));
    }
    text.push_str(&format!("Severity: {}\n", word("severity")));
    text.push_str(&match alert["closed_at"].as_str() {
        Some(at) => format!("Closed: {at}, because its cause is gone.\n"),
        None => format!("Since: {}\n", word("opened_at")),
    });
    text.push_str(&format!("Look at it: {}\n", absolute(word("link"), root)));
    text
}

fn digest(digest: &Value, root: &Url) -> String {
    let entries = digest["entries"].as_array().cloned().unwrap_or_default();
    let mut text = format!(
        "{} notifications of {}:\n",
        digest["count"],
        digest["day"].as_str().unwrap_or_default()
    );
    for entry in &entries {
        let alert = &entry["body"]["alert"];
        text.push_str(&format!(
            "\n* {}\n  {}\n  {}\n",
            entry["subject"].as_str().unwrap_or_default(),
            alert["text"].as_str().unwrap_or_default(),
            absolute(alert["link"].as_str().unwrap_or_default(), root)
        ));
    }
    let told = entries.len() as u64;
    let count = digest["count"].as_u64().unwrap_or(told);
    if count > told {
        let all = absolute("/alerts", root);
        text.push_str(&format!("\nand {} more: {all}\n", count - told));
    }
    text
}

/// A path of ours as others reach it.
fn absolute(path: &str, root: &Url) -> String {
    format!("{}{path}", root.as_str().trim_end_matches('/'))
}

/// Makes every `link` inside a payload one that others can follow.
pub(super) fn absolute_links(value: &mut Value, root: &Url) {
    match value {
        Value::Object(parts) => {
            for (name, part) in parts {
                match part {
                    Value::String(path) if name == "link" && path.starts_with('/') => {
                        *part = absolute(path, root).into();
                    }
                    other => absolute_links(other, root),
                }
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(|part| absolute_links(part, root)),
        _ => {}
    }
}

/// Files of a message: the body has them in base64.
pub(super) fn attachments(body: &Value) -> Vec<(String, String, Vec<u8>)> {
    let files = body["attachments"].as_array().cloned().unwrap_or_default();
    files
        .iter()
        .filter_map(|file| {
            let content = file["content"].as_str()?;
            Some((
                file["name"].as_str()?.to_owned(),
                file["type"].as_str()?.to_owned(),
                data_encoding::BASE64.decode(content.as_bytes()).ok()?,
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_says_what_happened_and_where_to_look() {
        let root: Url = "https://portal.example.com/".parse().unwrap();
        let body = json!({ "alert": {
            "title": "Contoso: data is stale", "text": "It was not synced.", "severity": "warning",
            "link": "/companies/1/evidence", "opened_at": "2026-11-27T00:00:00Z", "closed_at": null,
            "company_name": "Contoso",
        }});
        let text = of(&body, "Halden", &root);
        assert!(
            text.contains("https://portal.example.com/companies/1/evidence"),
            "{text}"
        );
        assert!(text.contains("Company: Contoso"), "{text}");
        let digest = json!({ "digest": { "day": "2026-11-27", "count": 3, "entries": [
            { "subject": "One", "body": body }] } });
        let text = of(&digest, "Halden", &root);
        assert!(
            text.contains("and 2 more: https://portal.example.com/alerts"),
            "{text}"
        );
        let mut payload = digest;
        absolute_links(&mut payload, &root);
        let link = &payload["digest"]["entries"][0]["body"]["alert"]["link"];
        assert_eq!(link, "https://portal.example.com/companies/1/evidence");
    }
}
