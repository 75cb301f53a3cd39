//! Suggestions of mappings, measured on a list of 200 pairs; the figures stand in
//! docs/connections.md.

use std::collections::HashMap;

use model::{Tenant, TenantId, TenantState, company, mapping};

use crate::{app::TestApp, on_both};

struct Pair {
    tenant: Tenant,
    company: model::CompanyId,
    same: bool,
}

async fn pairs(app: &TestApp) -> Vec<Pair> {
    let scope = app.scope();
    let mut pairs = Vec::new();
    let mut made: HashMap<(String, String), model::CompanyId> = HashMap::new();
    for (number, line) in include_str!("../data/company_pairs.tsv")
        .lines()
        .enumerate()
        .skip(1)
    {
        let cells: Vec<&str> = line.split('\t').collect();
        let [tenant, domains, name, domain, same] = cells.as_slice() else {
            panic!("line {number}")
        };
        let key = ((*name).to_owned(), (*domain).to_owned());
        let id = match made.get(&key) {
            Some(id) => *id,
            None => {
                let draft = company::Draft {
                    name: (*name).into(),
                    domain: (*domain).into(),
                    external_id: String::new(),
                };
                let id = company::create(&scope, &draft, true).await.unwrap().id;
                made.insert(key, id);
                id
            }
        };
        let domains: Vec<&str> = domains.split(' ').collect();
        pairs.push(Pair {
            tenant: Tenant {
                partner_id: app.partner,
                id: TenantId(uuid::Uuid::from_u128(number as u128)),
                credential_id: model::CredentialId(uuid::Uuid::from_u128(1)),
                cloud: "custom".into(),
                client_id: model::ClientId(uuid::Uuid::from_u128(1)),
                directory_id: model::DirectoryId(uuid::Uuid::from_u128(number as u128)),
                display_name: (*tenant).into(),
                default_domain: domains[0].into(),
                domains: serde_json::to_string(&domains).unwrap(),
                country: None,
                found_by: "consent".into(),
                state: TenantState::Consented,
                granted_scopes: String::new(),
                consented_at: None,
                checked_at: None,
                last_error_code: None,
                last_error: None,
                created_at: scope.now(),
                granted_permissions: None,
                permissions_checked_at: None,
                relationship: None,
                found_at: None,
            },
            company: id,
            same: *same == "yes",
        });
    }
    pairs
}

on_both! {
    async fn suggestions_hit_and_miss_as_documented(app) {
        let pairs = pairs(&app).await;
        assert_eq!(pairs.len(), 200);
        let tenants: Vec<Tenant> = pairs.iter().map(|p| p.tenant.clone()).collect();
        let suggested = mapping::suggest(&app.scope(), &tenants).await.unwrap();
        let (mut by_domain, mut by_name, mut misses, mut wrong, mut silent) = (0, 0, 0, 0, 0);
        for pair in &pairs {
            match (suggested.get(&pair.tenant.id), pair.same) {
                (Some(s), true) if s.company == pair.company && s.matched_by == "domain" => by_domain += 1,
                (Some(s), true) if s.company == pair.company => by_name += 1,
                (Some(_), _) => {
                    wrong += 1;
                    println!("wrong: {} → {}", pair.tenant.display_name, pair.tenant.default_domain);
                }
                (None, true) => {
                    misses += 1;
                    println!("missed: {}", pair.tenant.display_name);
                }
                (None, false) => silent += 1,
            }
        }
        let measured = format!(
            "| by domain | {by_domain} |\n| by name | {by_name} |\n| missed | {misses} |\n| wrong | {wrong} |\n| rightly none | {silent} |"
        );
        let documented = include_str!("../../docs/connections.md");
        assert!(documented.contains(&measured), "docs/connections.md says otherwise:\n{measured}");
    }
}
