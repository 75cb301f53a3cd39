//! In builds for tests: every statement must say whose rows it means. A table that belongs to partners
//! needs a condition on its partner (or an equality with a table that has one), and the value that is
//! bound there must be the partner in reach. So every test on SQLite, which has no row-level security,
//! is a test of every statement that it causes.

use std::collections::BTreeSet;

use sea_orm::{Statement, Value};

use super::bound::Reach;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A name or a keyword, in lower case.
    Word(String),
    /// The place of a bound value, counted from 0.
    Bound(usize),
    Sign(char),
}

fn tokens(sql: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut chars = sql.chars().peekable();
    let mut questions = 0;
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                for c in chars.by_ref() {
                    if c == '\'' {
                        break;
                    }
                }
                found.push(Token::Sign('\''));
            }
            '"' => found.push(Token::Word(
                chars.by_ref().take_while(|c| *c != '"').collect(),
            )),
            '?' => {
                found.push(Token::Bound(questions));
                questions += 1;
            }
            '$' => {
                let mut number = 0_usize;
                while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                    number = number * 10 + digit as usize;
                    chars.next();
                }
                found.push(Token::Bound(number.wrapping_sub(1)));
            }
            c if c.is_alphanumeric() || c == '_' => {
                let mut word = c.to_ascii_lowercase().to_string();
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    word.push(c.to_ascii_lowercase());
                }
                found.push(Token::Word(word));
            }
            c if c.is_whitespace() => {}
            c => found.push(Token::Sign(c)),
        }
    }
    found
}

/// Which `SELECT` each token belongs to: a column without a qualifier is of its own one's tables.
fn scopes(tokens: &[Token]) -> Vec<usize> {
    let select = Token::Word("select".into());
    let (mut open, mut last) = (vec![0], 0);
    let mut scopes = Vec::with_capacity(tokens.len());
    for (i, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign('(') if tokens.get(i + 1) == Some(&select) => {
                last += 1;
                open.push(last);
            }
            Token::Sign('(') => open.push(open.last().copied().unwrap_or_default()),
            Token::Sign(')') if open.len() > 1 => {
                open.pop();
            }
            _ => {}
        }
        scopes.push(open.last().copied().unwrap_or_default());
    }
    scopes
}

/// A table as a statement names it.
#[derive(Debug)]
struct Named {
    scope: usize,
    table: &'static str,
    alias: Option<String>,
    is_insert: bool,
}

impl Named {
    fn answers_to(&self, qualifier: Option<&str>, scope: usize) -> bool {
        match (qualifier, &self.alias) {
            (Some(qualifier), Some(alias)) => qualifier == alias,
            (Some(qualifier), None) => qualifier == self.table,
            (None, _) => self.scope == scope,
        }
    }

    /// The column that says whose a row is.
    fn owner(&self) -> &'static str {
        owner(self.table)
    }
}

fn owner(table: &str) -> &'static str {
    match table {
        "partners" => "id",
        _ => "partner_id",
    }
}

const KEYWORDS: [&str; 27] = [
    "set",
    "where",
    "on",
    "join",
    "left",
    "inner",
    "cross",
    "order",
    "group",
    "limit",
    "values",
    "select",
    "union",
    "returning",
    "for",
    "do",
    "as",
    "using",
    "having",
    "offset",
    "and",
    "or",
    "when",
    "then",
    "not",
    "exists",
    "default",
];

fn owned_tables(tokens: &[Token], scopes: &[usize]) -> Vec<Named> {
    let mut named = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        let Some(&table) = migrations::PARTNERS_TABLES.iter().find(|t| *t == word) else {
            continue;
        };
        let before = i.checked_sub(1).and_then(|i| tokens.get(i));
        let is_insert = before == Some(&Token::Word("into".into()));
        let is_source = match before {
            Some(Token::Word(word)) => {
                ["from", "join", "update", "into", "using"].contains(&word.as_str())
            }
            // `FROM a, users u`: a comma and an alias, or the end of the list.
            Some(Token::Sign(',')) => matches!(tokens.get(i + 1), Some(Token::Word(alias))
                if !KEYWORDS.contains(&alias.as_str())),
            _ => false,
        };
        if !is_source {
            continue;
        }
        let mut next = tokens.get(i + 1);
        if next == Some(&Token::Word("as".into())) {
            next = tokens.get(i + 2);
        }
        let alias = match next {
            Some(Token::Word(alias)) if !KEYWORDS.contains(&alias.as_str()) => Some(alias.clone()),
            _ => None,
        };
        named.push(Named {
            scope: scopes[i],
            table,
            alias,
            is_insert,
        });
    }
    named
}

/// One side of a condition: the owner's column of some table.
#[derive(Debug, Clone, PartialEq)]
struct Column {
    qualifier: Option<String>,
    name: String,
}

/// The column that ends before token `end`.
fn column_before(tokens: &[Token], end: usize) -> Option<Column> {
    let Token::Word(name) = tokens.get(end.checked_sub(1)?)? else {
        return None;
    };
    let qualifier = match (
        end.checked_sub(2).and_then(|i| tokens.get(i)),
        end.checked_sub(3).and_then(|i| tokens.get(i)),
    ) {
        (Some(Token::Sign('.')), Some(Token::Word(qualifier))) => Some(qualifier.clone()),
        _ => None,
    };
    let name = name.clone();
    Some(Column { qualifier, name })
}

/// The column that begins at token `start`.
fn column_at(tokens: &[Token], start: usize) -> Option<Column> {
    let Token::Word(first) = tokens.get(start)? else {
        return None;
    };
    match (tokens.get(start + 1), tokens.get(start + 2)) {
        (Some(Token::Sign('.')), Some(Token::Word(name))) => Some(Column {
            qualifier: Some(first.clone()),
            name: name.clone(),
        }),
        _ => Some(Column {
            qualifier: None,
            name: first.clone(),
        }),
    }
}

fn is_partner(values: &[Value], place: usize, reach: Reach) -> bool {
    match (values.get(place), reach) {
        (Some(Value::Uuid(Some(id))), Reach::Partner(partner)) => *id == partner.0,
        _ => false,
    }
}

/// Says what is wrong with a statement in a reach.
pub(super) fn check(statement: &Statement, reach: Reach) -> Result<(), String> {
    if reach == Reach::Everybody {
        return Ok(());
    }
    let wrong = |why: &str| {
        let text: String = statement.sql.chars().take(400).collect();
        Err(format!("{why}: {text}"))
    };
    let tokens = tokens(&statement.sql);
    let scopes = scopes(&tokens);
    let named = owned_tables(&tokens, &scopes);
    if named.is_empty() {
        return Ok(());
    }
    if reach == Reach::Nobody {
        return wrong("a partner's table is read without saying whose rows");
    }
    let values: &[Value] = statement.values.as_ref().map_or(&[], |v| &v.0);
    let mut bound = BTreeSet::new();
    let mut links = Vec::new();
    let of_owner = |column: &Column, at: usize| -> Vec<usize> {
        let fits = |table: &Named| {
            table.owner() == column.name
                && table.answers_to(column.qualifier.as_deref(), scopes[at])
        };
        (0..named.len()).filter(|i| fits(&named[*i])).collect()
    };
    for (i, token) in tokens.iter().enumerate() {
        if *token != Token::Sign('=') {
            continue;
        }
        let Some(left) = column_before(&tokens, i) else {
            continue;
        };
        let tables = of_owner(&left, i);
        match tokens.get(i + 1) {
            Some(Token::Bound(place)) if !tables.is_empty() => {
                // An id of a partner's own row is compared with `id` of other tables as well: only
                // the owner's column decides.
                if left.name == "partner_id" && !is_partner(values, *place, reach) {
                    return wrong("the condition is on another partner");
                }
                if is_partner(values, *place, reach) {
                    bound.extend(tables);
                }
            }
            Some(Token::Word(_)) => {
                if let Some(right) = column_at(&tokens, i + 1) {
                    links.push((tables, of_owner(&right, i)));
                }
            }
            _ => {}
        }
    }
    for _ in 0..named.len() {
        for (left, right) in &links {
            if left.iter().any(|i| bound.contains(i)) {
                bound.extend(right);
            }
            if right.iter().any(|i| bound.contains(i)) {
                bound.extend(left);
            }
        }
    }
    for (i, table) in named.iter().enumerate() {
        if table.is_insert {
            inserts(&tokens, table.table, values, reach).or_else(|why| wrong(&why))?;
        } else if !bound.contains(&i) {
            return wrong(&format!(
                "nothing says whose rows of {} are meant",
                table.table
            ));
        }
    }
    Ok(())
}

/// Every row that is put into a partner's table is the partner's in reach.
fn inserts(tokens: &[Token], table: &str, values: &[Value], reach: Reach) -> Result<(), String> {
    let start = tokens
        .windows(2)
        .position(|pair| pair == [Token::Word("into".into()), Token::Word(table.to_owned())])
        .map_or(0, |i| i + 3);
    let columns: Vec<&Token> = tokens[start.min(tokens.len())..]
        .iter()
        .take_while(|t| **t != Token::Sign(')'))
        .filter(|t| matches!(t, Token::Word(_)))
        .collect();
    let column = Token::Word(owner(table).to_owned());
    let Some(place) = columns.iter().position(|c| **c == column) else {
        return Err(format!("a row of {table} is made without its partner"));
    };
    let Some(from) = tokens[start..]
        .iter()
        .position(|t| *t == Token::Word("values".into()))
    else {
        // `INSERT … SELECT`: what is selected has conditions of its own.
        return Ok(());
    };
    // Rows: at depth 1, the value that stands `place` commas after the parenthesis.
    let (mut depth, mut commas) = (0_usize, 0);
    for token in &tokens[start + from + 1..] {
        match token {
            Token::Sign('(') => {
                depth += 1;
                if depth == 1 {
                    commas = 0;
                }
            }
            Token::Sign(')') => depth = depth.saturating_sub(1),
            Token::Sign(',') if depth == 1 => commas += 1,
            Token::Bound(bound)
                if depth == 1 && commas == place && !is_partner(values, *bound, reach) =>
            {
                return Err(format!("a row of {table} is made for another partner"));
            }
            // `ON CONFLICT …`
            Token::Word(_) if depth == 0 => break,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sea_orm::DatabaseBackend;
    use uuid::Uuid;

    use super::*;
    use crate::PartnerId;

    fn says(sql: &str, values: &[u128]) -> Result<(), String> {
        let values = values
            .iter()
            .map(|id| Value::Uuid(Some(Uuid::from_u128(*id))));
        let statement = Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, values);
        check(&statement, Reach::Partner(PartnerId(Uuid::from_u128(1))))
    }

    #[test]
    fn a_statement_that_says_whose_rows_passes() {
        for (sql, values) in [
            ("SELECT 1 FROM users WHERE partner_id = $1 AND id = $2", &[1, 7][..]),
            (r#"SELECT "users"."id" FROM "users" WHERE "users"."partner_id" = ? AND 1 = 1"#, &[1]),
            (
                "SELECT * FROM users u JOIN mappings m ON m.partner_id = u.partner_id AND m.id = u.mapping_id
                 WHERE u.partner_id = ?",
                &[1],
            ),
            ("SELECT id FROM partners WHERE id = $1 FOR NO KEY UPDATE", &[1]),
            ("INSERT INTO users (partner_id, id) VALUES (?, ?), (?, ?)", &[1, 8, 1, 9]),
            ("UPDATE runs SET state = ? WHERE id = ? AND partner_id = ?", &[5, 6, 1]),
            ("SELECT * FROM members WHERE id = ?", &[3]),
        ] {
            assert_eq!(says(sql, values), Ok(()), "{sql}");
        }
    }

    #[test]
    fn a_statement_that_forgets_whose_rows_fails() {
        for (sql, values) in [
            ("SELECT 1 FROM users WHERE id = $1", &[7][..]),
            ("SELECT 1 FROM users WHERE partner_id = $1", &[2]),
            (
                "SELECT * FROM users u JOIN mappings m ON m.id = u.mapping_id WHERE u.partner_id = ?",
                &[1],
            ),
            (
                "SELECT 1 FROM runs WHERE id IN (SELECT id FROM runs WHERE partner_id = ?) AND x = (SELECT 1 FROM users u WHERE u.id = ?)",
                &[1, 2],
            ),
            (
                "INSERT INTO users (partner_id, id) VALUES (?, ?), (?, ?)",
                &[1, 8, 2, 9],
            ),
            ("INSERT INTO users (id) VALUES (?)", &[8]),
            ("UPDATE runs SET state = ? WHERE id = ?", &[5, 6]),
            ("DELETE FROM runs", &[]),
            ("SELECT name FROM partners WHERE id = ?", &[2]),
        ] {
            assert!(says(sql, values).is_err(), "{sql}");
        }
        let statement = Statement::from_string(DatabaseBackend::Sqlite, "SELECT 1 FROM runs");
        assert!(check(&statement, Reach::Nobody).is_err());
        assert!(check(&statement, Reach::Everybody).is_ok());
    }
}
