//! What readers see: of each mapping the generation that its last run published.

use sea_orm::{
    Condition, EntityTrait, ExprTrait, Value,
    sea_query::{Alias, Expr},
};

use crate::{CompanyId, MappingId, PartnerId, Result, RunKind, Scope, db::query_all, scope::Owned};

/// One generation of each mapping, chosen once for everything that a page shows: what a run
/// publishes meanwhile is not mixed into it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    partner: PartnerId,
    published: Vec<(MappingId, i64)>,
}

impl Snapshot {
    /// Of all mappings of a company, also of those that are deleted; of none where the scope does
    /// not see the company.
    pub async fn of_company(scope: &Scope, company: CompanyId, kind: RunKind) -> Result<Self> {
        if !scope.sees(company) {
            return Ok(Self {
                partner: scope.partner(),
                published: vec![],
            });
        }
        let rows = query_all(
            &scope.conn(),
            "SELECT s.mapping_id, s.published FROM snapshots s
             JOIN mappings m ON m.partner_id = s.partner_id AND m.id = s.mapping_id
             WHERE s.partner_id = $1 AND m.company_id = $2 AND s.kind = $3
             ORDER BY s.mapping_id",
            vec![scope.partner().into(), company.into(), kind.as_str().into()],
        )
        .await?;
        Self::from_rows(scope, &rows)
    }

    /// Of all mappings in scope.
    pub async fn of_all(scope: &Scope, kind: RunKind) -> Result<Self> {
        let rows = query_all(
            &scope.conn(),
            "SELECT s.mapping_id, s.published, m.company_id FROM snapshots s
             JOIN mappings m ON m.partner_id = s.partner_id AND m.id = s.mapping_id
             WHERE s.partner_id = $1 AND s.kind = $2 ORDER BY s.mapping_id",
            vec![scope.partner().into(), kind.as_str().into()],
        )
        .await?;
        let mut seen = Vec::with_capacity(rows.len());
        for row in rows {
            if scope.sees(row.try_get("", "company_id")?) {
                seen.push(row);
            }
        }
        Self::from_rows(scope, &seen)
    }

    fn from_rows(scope: &Scope, rows: &[sea_orm::QueryResult]) -> Result<Self> {
        let pairs = rows.iter().map(|row| {
            Ok((
                row.try_get("", "mapping_id")?,
                row.try_get("", "published")?,
            ))
        });
        Ok(Self {
            partner: scope.partner(),
            published: pairs.collect::<Result<_>>()?,
        })
    }

    /// Of one of its mappings alone.
    #[must_use]
    pub fn only(&self, mapping: MappingId) -> Self {
        let pairs = self.published.iter().copied();
        Self {
            partner: self.partner,
            published: pairs.filter(|(id, _)| *id == mapping).collect(),
        }
    }

    /// Of one mapping, which was read through the scope.
    pub async fn of_mapping(scope: &Scope, mapping: MappingId, kind: RunKind) -> Result<Self> {
        let rows = query_all(
            &scope.conn(),
            "SELECT mapping_id, published FROM snapshots
             WHERE partner_id = $1 AND mapping_id = $2 AND kind = $3",
            vec![scope.partner().into(), mapping.into(), kind.as_str().into()],
        )
        .await?;
        Self::from_rows(scope, &rows)
    }

    /// What readers of a mapping that was read through the scope saw when a generation was published.
    pub(crate) fn at(scope: &Scope, mapping: MappingId, generation: i64) -> Self {
        Self {
            partner: scope.partner(),
            published: vec![(mapping, generation)],
        }
    }

    /// The generations that it is of, in the order of its mappings.
    pub fn generations(&self) -> Vec<i64> {
        self.published
            .iter()
            .map(|(_, published)| *published)
            .collect()
    }

    /// The same of other generations: those that somebody began to read, which are kept. False where they
    /// are not of as many mappings, or were never published.
    pub fn pin(&mut self, generations: &[i64]) -> bool {
        let fits = self.published.len() == generations.len()
            && self
                .published
                .iter()
                .zip(generations)
                .all(|(now, then)| (0..=now.1).contains(then));
        if fits {
            for (now, then) in self.published.iter_mut().zip(generations) {
                now.1 = *then;
            }
        }
        fits
    }

    /// The mappings that it is of, with the generation of each.
    pub(crate) fn mappings(&self) -> impl Iterator<Item = (MappingId, i64)> {
        self.published.iter().copied()
    }

    /// As [`Self::pin`], mapping by mapping; one that had nothing to see has nothing.
    pub(crate) fn pin_each(&mut self, to: impl Iterator<Item = (MappingId, i64)>) -> bool {
        let to: Vec<(MappingId, i64)> = to.collect();
        let fits = to
            .iter()
            .all(|(id, then)| (0..=self.generation(*id)).contains(then));
        if fits {
            self.published = to.into_iter().filter(|(_, then)| *then > 0).collect();
        }
        fits
    }

    /// Whether there is nothing to see.
    pub fn is_empty(&self) -> bool {
        self.published.iter().all(|(_, published)| *published == 0)
    }

    /// The generation of a mapping; 0 before its first run ended.
    pub fn generation(&self, mapping: MappingId) -> i64 {
        self.published
            .iter()
            .find(|(id, _)| *id == mapping)
            .map_or(0, |(_, published)| *published)
    }

    /// Of an entity, the versions to see.
    pub(crate) fn condition<E: Owned + EntityTrait + Default>(&self) -> Condition {
        let column = |name: &str| Expr::col((E::default(), Alias::new(name)));
        self.published
            .iter()
            .fold(Condition::any(), |any, (mapping, published)| {
                any.add(
                    column("partner_id")
                        .eq(self.partner)
                        .and(column("mapping_id").eq(*mapping))
                        .and(column("since").lte(*published))
                        .and(column("until").gt(*published)),
                )
            })
            .add_option(self.published.is_empty().then(|| Expr::val(1).eq(0)))
    }

    /// For SQL: the same of the table with this alias, its parameters appended to `values`.
    pub(crate) fn sql(&self, alias: &str, values: &mut Vec<Value>) -> String {
        values.push(self.partner.into());
        let partner = values.len();
        if self.published.is_empty() {
            return format!("({alias}.partner_id = ${partner} AND 1 = 0)");
        }
        let any: Vec<String> = self
            .published
            .iter()
            .map(|(mapping, published)| {
                values.push((*mapping).into());
                values.push((*published).into());
                let n = values.len();
                format!(
                    "({alias}.partner_id = ${partner} AND {alias}.mapping_id = ${} AND {alias}.since <= ${n} AND {alias}.until > ${n})",
                    n - 1
                )
            })
            .collect();
        format!("({})", any.join(" OR "))
    }

    /// For SQL: whether a joined version of the same mapping as `of` is one to see.
    pub(crate) fn joined(&self, alias: &str, of: &str, values: &mut Vec<Value>) -> String {
        if self.published.is_empty() {
            return format!("({alias}.partner_id = {of}.partner_id AND 1 = 0)");
        }
        let published = match self.published.as_slice() {
            [(_, published)] => {
                values.push((*published).into());
                format!("${}", values.len())
            }
            many => {
                let mut case = format!("(CASE {of}.mapping_id");
                for (mapping, published) in many {
                    values.push((*mapping).into());
                    values.push((*published).into());
                    let n = values.len();
                    case.push_str(&format!(" WHEN ${} THEN CAST(${n} AS BIGINT)", n - 1));
                }
                format!("{case} ELSE 0 END)")
            }
        };
        format!(
            "{alias}.partner_id = {of}.partner_id AND {alias}.mapping_id = {of}.mapping_id
             AND {alias}.since <= {published} AND {alias}.until > {published}"
        )
    }
}
