//! Companies: the customers of a partner.

use std::collections::HashSet;

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, sea_query::Expr, sea_query::Func,
};
use serde_json::json;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::{
    Company, CompanyId, Error, FieldError, Listing, Result, Role, Scope, Window,
    audit::{self, Target},
    db::Tx,
    entity::company::{ActiveModel, Column, Entity},
};

/// What a person types for a company.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Name.
    pub name: String,
    /// Mail domain, used to suggest mappings; may be empty.
    pub domain: String,
    /// Id in the partner's PSA; may be empty.
    pub external_id: String,
}

/// Text on one line: names come from directories and from files, with tabs and line breaks in them.
fn plain(text: &str) -> String {
    text.replace('\0', "")
        .replace(char::is_control, " ")
        .trim()
        .to_owned()
}

fn parse(draft: &Draft) -> Result<Draft> {
    let draft = Draft {
        name: plain(&draft.name),
        domain: draft
            .domain
            .replace('\0', "")
            .trim()
            .trim_start_matches('@')
            .to_lowercase(),
        external_id: plain(&draft.external_id),
    };
    let mut errors = Vec::new();
    if draft.name.is_empty() || draft.name.chars().count() > 200 {
        errors.push(FieldError {
            field: "name",
            message: "Enter a name of at most 200 characters.".into(),
        });
    }
    if !draft.domain.is_empty()
        && (!draft.domain.contains('.')
            || draft.domain.len() > 253
            || draft
                .domain
                .contains(|c: char| c.is_whitespace() || "/@:".contains(c)))
    {
        errors.push(FieldError {
            field: "domain",
            message: "Enter a domain like example.com, without http or @.".into(),
        });
    }
    if draft.external_id.chars().count() > 100 {
        errors.push(FieldError {
            field: "external_id",
            message: "At most 100 characters.".into(),
        });
    }
    if errors.is_empty() {
        Ok(draft)
    } else {
        Err(Error::Invalid(errors))
    }
}

/// Legal forms at the end of a name, as [`full_key`] writes them.
const FORMS: &[&str] = &[
    "ab",
    "ag",
    "aps",
    "as",
    "asa",
    "ae",
    "αε",
    "ανωνυμη εταιρεια",
    "bv",
    "bvba",
    "co",
    "company",
    "corp",
    "corporation",
    "cv",
    "doo",
    "eg",
    "ehf",
    "ek",
    "ev",
    "gmbh",
    "mbh",
    "group",
    "hb",
    "hf",
    "inc",
    "incorporated",
    "kft",
    "kg",
    "kgaa",
    "kk",
    "limited",
    "llc",
    "llp",
    "ltd",
    "ltda",
    "nv",
    "ohg",
    "ood",
    "oy",
    "oyj",
    "plc",
    "private",
    "pty",
    "pvt",
    "sa",
    "sarl",
    "sas",
    "sasu",
    "se",
    "sl",
    "slu",
    "snc",
    "sp z oo",
    "spa",
    "sprl",
    "srl",
    "sro",
    "ug",
    "vof",
    "ειρεπε",
    "επε",
    "ике",
    "оод",
    "еоод",
    "ооо",
    "оао",
    "зао",
    "株式会社",
    "有限会社",
    "주식회사",
    "有限公司",
    "בעמ",
];

/// Legal forms before a name.
const FORMS_BEFORE: &[&str] = &[
    "the",
    "ооо",
    "оао",
    "зао",
    "株式会社",
    "有限会社",
    "주식회사",
];

/// A name in lower case, without marks on letters and without punctuation: "Nørgård & Søn A/S" is
/// "norgard and son as".
pub fn full_key(name: &str) -> String {
    let mut folded = String::with_capacity(name.len());
    for c in name
        .to_lowercase()
        .nfkd()
        .filter(|c| !is_combining_mark(*c))
    {
        match c {
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' => folded.push('d'),
            'ı' => folded.push('i'),
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'þ' => folded.push_str("th"),
            '&' | '+' => folded.push_str(" and "),
            // "A/S", "S.A.", "O'Leary" read as one word without them.
            '.' | '/' | '\'' | '’' | '"' | '״' => {}
            c if c.is_alphanumeric() => folded.push(c),
            _ => folded.push(' '),
        }
    }
    // What composed characters were taken apart into is put together again (Korean).
    let folded: String = folded.nfc().collect();
    let words: Vec<&str> = folded
        .split_whitespace()
        .map(|w| {
            if matches!(w, "und" | "et" | "og" | "och" | "y") {
                "and"
            } else {
                w
            }
        })
        .collect();
    words.join(" ")
}

/// A name reduced to what identifies it: [`full_key`] without a legal form ("Contoso Ltd." and
/// "CONTOSO Limited" are equal).
pub fn name_key(name: &str) -> String {
    let full = full_key(name);
    let mut key = full.as_str();
    loop {
        let shorter = FORMS
            .iter()
            .filter_map(|form| key.strip_suffix(form))
            // A whole word of scripts with blanks; of those without, the end of the name.
            .find(|rest| {
                rest.ends_with(' ') || (!rest.is_empty() && !rest.is_ascii() && !key.contains(' '))
            })
            .map(|rest| rest.trim_end().trim_end_matches(" and").trim_end());
        match shorter {
            Some(rest) if !rest.is_empty() => key = rest,
            _ => break,
        }
    }
    for form in FORMS_BEFORE {
        if let Some(rest) = key.strip_prefix(form)
            && !rest.trim_start().is_empty()
            && (rest.starts_with(' ') || !form.is_ascii())
        {
            key = rest.trim_start();
            break;
        }
    }
    key.to_owned()
}

/// Brings the stored keys up to date after the rules of [`name_key`] changed.
pub(crate) async fn refresh_name_keys(db: &crate::Db) -> Result<()> {
    for row in Entity::find().all(&db.everybody()).await? {
        let key = name_key(&row.name);
        if key != row.name_key {
            let mut active: ActiveModel = row.into();
            active.name_key = Set(key);
            active.update(&db.everybody_writer()).await?;
        }
    }
    Ok(())
}

/// Companies whose name, domain or external id contains `search`, by name, without archived ones.
pub async fn list(scope: &Scope, search: &str, window: Window) -> Result<Listing<Company>> {
    let mut query = scope.find::<Entity>().filter(Column::ArchivedAt.is_null());
    let search = search.trim();
    if !search.is_empty() {
        query = query.filter(
            Condition::any()
                .add(crate::directory::contains(Column::Name, search))
                .add(crate::directory::contains(Column::Domain, search))
                .add(crate::directory::contains(Column::ExternalId, search)),
        );
    }
    Ok(Listing {
        total: query.clone().count(&scope.conn()).await?,
        rows: query
            .order_by_asc(Expr::expr(Func::lower(Expr::col(Column::Name))))
            .order_by_asc(Column::Id)
            .offset(window.offset)
            .limit(window.limit)
            .all(&scope.conn())
            .await?,
    })
}

/// How many of these the partner has.
pub(crate) async fn known(scope: &Scope, ids: &[CompanyId]) -> Result<usize> {
    let found = scope
        .find::<Entity>()
        .filter(Column::Id.is_in(ids.iter().copied()))
        .count(&scope.conn())
        .await?;
    Ok(usize::try_from(found).unwrap_or(usize::MAX))
}

/// One company, archived or not.
pub async fn get(scope: &Scope, id: CompanyId) -> Result<Option<Company>> {
    Ok(scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&scope.conn())
        .await?)
}

/// Makes a company.
///
/// # Errors
/// [`Error::Invalid`] for a bad field, and for a name that another company has unless
/// `same_name_is_fine`.
pub async fn create(scope: &Scope, draft: &Draft, same_name_is_fine: bool) -> Result<Company> {
    scope.require(Role::Admin)?;
    let tx = scope.begin().await?;
    let company = create_in(&tx, scope, draft, same_name_is_fine).await?;
    tx.commit().await?;
    Ok(company)
}

pub(crate) async fn create_in(
    tx: &Tx,
    scope: &Scope,
    draft: &Draft,
    same_name_is_fine: bool,
) -> Result<Company> {
    let draft = parse(draft)?;
    if !same_name_is_fine {
        refuse_same_name(tx, scope, &draft.name, None).await?;
    }
    let now = scope.now();
    let row = ActiveModel {
        partner_id: Set(scope.partner()),
        id: Set(CompanyId::generate(scope.db().clock())),
        name_key: Set(name_key(&draft.name)),
        name: Set(draft.name),
        domain: Set(draft.domain),
        external_id: Set(draft.external_id),
        created_at: Set(now),
        updated_at: Set(now),
        archived_at: Set(None),
    }
    .insert(&tx.conn)
    .await?;
    audit::append(
        tx,
        scope,
        "company.create",
        Target::new("company", row.id, &row.name),
        json!({ "name": row.name, "domain": row.domain, "external_id": row.external_id }),
    )
    .await?;
    Ok(row)
}

/// Archives a company: it is not listed any more. `false` when there is none such.
///
/// # Errors
/// [`Error::Conflict`] while a tenant is mapped to it.
pub async fn archive(scope: &Scope, id: CompanyId) -> Result<bool> {
    scope.require(Role::Admin)?;
    let tx = scope.begin().await?;
    let Some(row) = scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .filter(Column::ArchivedAt.is_null())
        .one(&tx.conn)
        .await?
    else {
        return Ok(false);
    };
    let mapped = crate::db::query_one(
        &tx.conn,
        "SELECT id FROM mappings WHERE partner_id = $1 AND company_id = $2
            AND deleted_at IS NULL LIMIT 1",
        vec![scope.partner().into(), id.into()],
    )
    .await?;
    if mapped.is_some() {
        return Err(Error::Conflict(
            "A tenant is mapped to this company. Delete or remap that mapping first.".into(),
        ));
    }
    let name = row.name.clone();
    let mut active: ActiveModel = row.into();
    active.archived_at = Set(Some(scope.now()));
    active.update(&tx.conn).await?;
    audit::append(
        &tx,
        scope,
        "company.archive",
        Target::new("company", id, &name),
        json!({}),
    )
    .await?;
    tx.commit().await?;
    Ok(true)
}

/// What an import does with one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// A new company.
    Create,
    /// Changes the company that has the line's external id, or else its name.
    Update(CompanyId),
    /// That company has all of it already.
    Unchanged(CompanyId),
    /// Nothing, for this reason.
    Refused(String),
}

/// Imports companies, or says what would become of each line without doing it. Lines that are
/// refused are left out; the others are saved together.
pub async fn import(scope: &Scope, lines: &[Draft], dry_run: bool) -> Result<Vec<Fate>> {
    scope.require(Role::Admin)?;
    if !scope.sees_all_companies() {
        return Err(Error::Conflict(
            "Companies are imported by members who see all companies.".into(),
        ));
    }
    let tx = scope.begin().await?;
    let mut known = Entity::find()
        .filter(Column::PartnerId.eq(scope.partner()))
        .filter(Column::ArchivedAt.is_null())
        .all(&tx.conn)
        .await?;
    let mut seen = HashSet::new();
    let mut touched = HashSet::new();
    let mut fates = Vec::with_capacity(lines.len());
    for line in lines {
        let fate = match parse(line) {
            Err(Error::Invalid(errors)) => Fate::Refused(
                errors
                    .iter()
                    .map(|e| format!("{}: {}", e.field, e.message))
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
            Err(other) => return Err(other),
            Ok(draft) if !seen.insert(identity(&draft)) => {
                Fate::Refused(format!("\"{}\" is in the file twice.", draft.name))
            }
            Ok(draft) => match fate_of(&known, &touched, &draft) {
                Fate::Create => {
                    // What later lines are compared with, also where nothing is saved.
                    let made = match dry_run {
                        true => sample(scope, &draft),
                        false => create_in(&tx, scope, &draft, true).await?,
                    };
                    touched.insert(made.id);
                    known.push(made);
                    Fate::Create
                }
                Fate::Update(id) => {
                    if let Some(company) = known.iter_mut().find(|c| c.id == id) {
                        let merged = merge(company, &draft);
                        if !dry_run {
                            update_in(&tx, scope, company.clone(), merged.clone()).await?;
                        }
                        company.name_key = name_key(&merged.name);
                        company.name = merged.name;
                        company.domain = merged.domain;
                        company.external_id = merged.external_id;
                    }
                    touched.insert(id);
                    Fate::Update(id)
                }
                Fate::Unchanged(id) => {
                    touched.insert(id);
                    Fate::Unchanged(id)
                }
                refused @ Fate::Refused(_) => refused,
            },
        };
        fates.push(fate);
    }
    if !dry_run {
        tx.commit().await?;
    }
    Ok(fates)
}

/// A company as it would be made.
fn sample(scope: &Scope, draft: &Draft) -> Company {
    let now = scope.now();
    Company {
        partner_id: scope.partner(),
        id: CompanyId::generate(scope.db().clock()),
        name: draft.name.clone(),
        name_key: name_key(&draft.name),
        domain: draft.domain.clone(),
        external_id: draft.external_id.clone(),
        created_at: now,
        updated_at: now,
        archived_at: None,
    }
}

fn identity(draft: &Draft) -> String {
    if draft.external_id.is_empty() {
        name_key(&draft.name)
    } else {
        format!("\u{1}{}", draft.external_id)
    }
}

fn fate_of(known: &[Company], touched: &HashSet<CompanyId>, draft: &Draft) -> Fate {
    let key = name_key(&draft.name);
    let by_id = known
        .iter()
        .find(|c| !draft.external_id.is_empty() && c.external_id == draft.external_id);
    let by_name: Vec<&Company> = known.iter().filter(|c| c.name_key == key).collect();
    let company = match (by_id, by_name.as_slice()) {
        (Some(company), _) => company,
        (None, []) => return Fate::Create,
        (None, [one]) if one.external_id.is_empty() || draft.external_id.is_empty() => one,
        (None, [one]) => {
            return Fate::Refused(format!(
                "\"{}\" has the external ID {} here. Correct one of the two.",
                one.name, one.external_id
            ));
        }
        (None, several) => {
            return Fate::Refused(format!(
                "{} companies are named like that. Give the line the external ID of one.",
                several.len()
            ));
        }
    };
    if touched.contains(&company.id) {
        return Fate::Refused(format!("A line above is for \"{}\" already.", company.name));
    }
    let merged = merge(company, draft);
    if key != company.name_key && known.iter().any(|c| c.name_key == key) {
        return Fate::Refused(format!(
            "Another company is named like \"{}\" already. Choose another name.",
            draft.name
        ));
    }
    if (&merged.name, &merged.domain, &merged.external_id)
        == (&company.name, &company.domain, &company.external_id)
    {
        Fate::Unchanged(company.id)
    } else {
        Fate::Update(company.id)
    }
}

/// An empty cell leaves what is there.
fn merge(company: &Company, draft: &Draft) -> Draft {
    let or = |new: &String, old: &String| if new.is_empty() { old } else { new }.clone();
    Draft {
        name: draft.name.clone(),
        domain: or(&draft.domain, &company.domain),
        external_id: or(&draft.external_id, &company.external_id),
    }
}

/// Companies of the same normalised name, to resolve clashes at import.
pub async fn same_name(scope: &Scope, name: &str) -> Result<Vec<Company>> {
    Ok(scope
        .find::<Entity>()
        .filter(Column::ArchivedAt.is_null())
        .filter(Column::NameKey.eq(name_key(name)))
        .order_by_asc(Column::Name)
        .all(&scope.conn())
        .await?)
}

async fn refuse_same_name(
    tx: &Tx,
    scope: &Scope,
    name: &str,
    except: Option<CompanyId>,
) -> Result<()> {
    let clash = Entity::find()
        .filter(Column::PartnerId.eq(scope.partner()))
        .filter(Column::ArchivedAt.is_null())
        .filter(Column::NameKey.eq(name_key(name)))
        .all(&tx.conn)
        .await?
        .into_iter()
        .find(|c| Some(c.id) != except);
    match clash {
        // A limited member must not learn that another company exists.
        Some(other) if scope.sees(other.id) => Err(Error::field(
            "name",
            format!(
                "There is a company named \"{}\" already. Choose another name, or confirm that \
                 both may have it.",
                other.name
            ),
        )),
        _ => Ok(()),
    }
}

/// Changes a company.
pub async fn edit(
    scope: &Scope,
    id: CompanyId,
    draft: &Draft,
    same_name_is_fine: bool,
) -> Result<Option<Company>> {
    scope.require(Role::Admin)?;
    let draft = parse(draft)?;
    let tx = scope.begin().await?;
    let Some(row) = scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&tx.conn)
        .await?
    else {
        return Ok(None);
    };
    if !same_name_is_fine && name_key(&row.name) != name_key(&draft.name) {
        refuse_same_name(&tx, scope, &draft.name, Some(id)).await?;
    }
    let row = update_in(&tx, scope, row, draft).await?;
    tx.commit().await?;
    Ok(Some(row))
}

async fn update_in(tx: &Tx, scope: &Scope, row: Company, draft: Draft) -> Result<Company> {
    let before = json!({ "name": row.name, "domain": row.domain, "external_id": row.external_id });
    let mut active: ActiveModel = row.into();
    active.name_key = Set(name_key(&draft.name));
    active.name = Set(draft.name);
    active.domain = Set(draft.domain);
    active.external_id = Set(draft.external_id);
    active.updated_at = Set(scope.now());
    let row = active.update(&tx.conn).await?;
    audit::append(
        tx,
        scope,
        "company.edit",
        Target::new("company", row.id, &row.name),
        json!({ "before": before, "after": {
            "name": row.name, "domain": row.domain, "external_id": row.external_id } }),
    )
    .await?;
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::name_key;

    #[test]
    fn legal_forms_and_punctuation_do_not_matter() {
        assert_eq!(name_key("Contoso Ltd."), name_key("CONTOSO Limited"));
        assert_eq!(name_key("Nørgård A/S"), "norgard");
        assert_eq!(name_key("The Fjord Company"), "fjord");
        assert_eq!(name_key("株式会社 青空"), "青空");
        assert_eq!(name_key("青空株式会社"), "青空");
        assert_eq!(name_key("Gebrüder Winter GmbH & Co. KG"), "gebruder winter");
        assert_eq!(name_key("Sp. z o.o."), "sp z oo", "a name is never empty");
        assert_ne!(name_key("Contoso North"), name_key("Contoso"));
        assert_eq!(name_key("AB"), "ab");
    }
}
