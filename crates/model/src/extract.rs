//! What was synced of a tenant, read from one end to the other: for files, streams and intakes.
//!
//! All pages of an extract are of one snapshot, whatever runs publish meanwhile, and each goes on behind
//! the last id of the one before, so that a page costs the same at the end as at the beginning.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use sea_orm::{FromQueryResult, QueryResult, Value};
use tokio::sync::OnceCell;

use crate::{
    CompanyId, DirectoryId, Error, MappingId, Result, RunKind, Scope, Timestamp, User,
    db::query_all,
    inventory::{
        DeviceRow, ManagedDeviceRow, Object, Record, RiskDetectionRow, Snapshot, Table, all_of,
        behind,
    },
    mapping,
    secure_score::{self, Control},
};

/// Which generations a snapshot is of: of the directory, of sign-in activity and of Secure Score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Generations {
    /// Of the directory.
    pub directory: i64,
    /// Of sign-in activity, which is read by itself.
    pub activity: i64,
    /// Of Secure Score.
    pub secure_score: i64,
}

/// A tenant's data as one snapshot shows it.
#[derive(Debug, Clone)]
pub struct Extract {
    scope: Scope,
    /// By which it was read.
    pub mapping: MappingId,
    /// Whose it is.
    pub company: CompanyId,
    /// The company's name.
    pub company_name: String,
    /// Microsoft's id of the tenant.
    pub directory_id: DirectoryId,
    /// The tenant's name.
    pub tenant_name: String,
    /// What is read.
    pub at: Generations,
    /// Where given, only what changed after these generations is read.
    pub after: Option<Generations>,
    /// When the directory was published; `None` before its first run ended.
    pub published_at: Option<Timestamp>,
    groups: Arc<OnceCell<HashMap<String, Arc<str>>>>,
}

/// A group's id, and its name where the group was read.
pub type Membership = (String, Option<Arc<str>>);

/// A user with everything that is told of one.
#[derive(Debug, Clone)]
pub struct ExtractedUser {
    /// The user.
    pub user: User,
    /// Whether MFA is registered; `None` is unknown.
    pub mfa_registered: Option<bool>,
    /// Whether the registration report calls them an administrator; `None` is unknown.
    pub is_admin: Option<bool>,
    /// The last sign-in; `None` is never, or unknown.
    pub last_sign_in_at: Option<Timestamp>,
    /// Whether sign-in activity of this user was read at all.
    pub sign_in_is_known: bool,
    /// Microsoft's word for the user's risk, where one was read.
    pub risk_level: Option<String>,
    /// Groups that they are direct members of.
    pub groups: Vec<Membership>,
}

/// A device, with what Intune says of the same one.
#[derive(Debug, Clone)]
pub struct ExtractedDevice {
    /// As the directory has it.
    pub device: Record,
    /// As Intune has it.
    pub managed: Option<Record>,
}

/// Extracts of the live mappings of a company, or of all companies in scope, by company name. A tenant
/// that was never read to its end has none.
pub async fn of(scope: &Scope, company: Option<CompanyId>) -> Result<Vec<Extract>> {
    let mut rows = mapping::list(scope, None).await?;
    rows.retain(|row| company.is_none_or(|id| row.company.id == id));
    let mut extracts = Vec::with_capacity(rows.len());
    for row in rows {
        extracts.push(Extract::open(scope, row).await?);
    }
    extracts.retain(|one| one.at != Generations::default());
    Ok(extracts)
}

/// The extract of one live mapping, as it is published now.
pub async fn of_mapping(scope: &Scope, id: MappingId) -> Result<Option<Extract>> {
    match mapping::get(scope, id).await? {
        Some(row) if row.mapping.deleted_at.is_none() => Ok(Some(Extract::open(scope, row).await?)),
        _ => Ok(None),
    }
}

impl Extract {
    async fn open(scope: &Scope, row: mapping::MappingRow) -> Result<Self> {
        let found = query_all(
            &scope.conn(),
            "SELECT kind, published, published_at FROM snapshots
             WHERE partner_id = $1 AND mapping_id = $2",
            vec![scope.partner().into(), row.mapping.id.into()],
        )
        .await?;
        let (mut at, mut published_at) = (Generations::default(), None);
        for snapshot in &found {
            let kind: String = snapshot.try_get("", "kind")?;
            let published: i64 = snapshot.try_get("", "published")?;
            match kind.parse::<RunKind>().map_err(Error::Stored)? {
                RunKind::Directory => {
                    at.directory = published;
                    published_at = snapshot.try_get("", "published_at")?;
                }
                RunKind::SignInActivity => at.activity = published,
                RunKind::SecureScore => at.secure_score = published,
            }
        }
        Ok(Self {
            scope: scope.clone(),
            mapping: row.mapping.id,
            company: row.company.id,
            company_name: row.company.name,
            directory_id: row.tenant.directory_id,
            tenant_name: row.tenant.display_name,
            at,
            after: None,
            published_at,
            groups: Arc::default(),
        })
    }

    /// The same of other generations: what a pass that was interrupted had begun to read.
    #[must_use]
    pub fn between(mut self, after: Option<Generations>, at: Generations) -> Self {
        (self.after, self.at) = (after, at);
        self
    }

    fn snapshot(&self, generation: i64) -> Snapshot {
        Snapshot::at(&self.scope, self.mapping, generation)
    }

    /// Users behind an id, by id, at most so many.
    pub async fn users(&self, behind: &str, limit: u64) -> Result<Vec<ExtractedUser>> {
        let directory = self.snapshot(self.at.directory);
        let mut values: Vec<Value> = vec![];
        let registration = directory.joined("m", "u", &mut values);
        let activity = self
            .snapshot(self.at.activity)
            .joined("a", "u", &mut values);
        let risk = directory.joined("r", "u", &mut values);
        let users = directory.sql("u", &mut values);
        values.push(behind.into());
        let mut condition = format!("{users} AND u.id > ${}", values.len());
        if let Some(after) = self.after {
            values.extend([
                after.directory.into(),
                self.at.directory.into(),
                after.activity.into(),
            ]);
            let (d, n, a) = (values.len() - 2, values.len() - 1, values.len());
            // Also who came into a group, or left one.
            condition.push_str(&format!(
                " AND (u.since > ${d} OR m.since > ${d} OR r.since > ${d} OR a.since > ${a}
                 OR EXISTS (SELECT 1 FROM group_members g WHERE g.partner_id = u.partner_id
                    AND g.mapping_id = u.mapping_id AND g.id = u.id AND g.until > g.since
                    AND ((g.since > ${d} AND g.since <= ${n}) OR (g.until > ${d} AND g.until <= ${n}))))"
            ));
        }
        let sql = format!(
            "SELECT u.*, m.is_mfa_registered, m.is_admin, a.last_sign_in_at, a.id AS activity_of,
                r.risk_level
             FROM users u LEFT JOIN mfa_registrations m ON m.id = u.id AND {registration}
             LEFT JOIN sign_in_activities a ON a.id = u.id AND {activity}
             LEFT JOIN risky_users r ON r.id = u.id AND {risk}
             WHERE {condition} ORDER BY u.id LIMIT {limit}"
        );
        let rows = query_all(&self.scope.conn(), &sql, values).await?;
        let mut users = rows.iter().map(read_user).collect::<Result<Vec<_>>>()?;
        self.put_groups(&mut users).await?;
        Ok(users)
    }

    /// Reads the memberships of a page of users together.
    async fn put_groups(&self, users: &mut [ExtractedUser]) -> Result<()> {
        let (Some(first), Some(last)) = (users.first(), users.last()) else {
            return Ok(());
        };
        let names = self.groups.get_or_try_init(|| self.group_names()).await?;
        let mut values: Vec<Value> = vec![];
        let members = self.snapshot(self.at.directory).sql("g", &mut values);
        values.extend([first.user.id.as_str().into(), last.user.id.as_str().into()]);
        let n = values.len();
        let rows = query_all(
            &self.scope.conn(),
            &format!(
                "SELECT g.id, g.group_id FROM group_members g
                 WHERE {members} AND g.id >= ${} AND g.id <= ${n} ORDER BY g.id, g.group_id",
                n - 1
            ),
            values,
        )
        .await?;
        let mut of: BTreeMap<String, Vec<Membership>> = BTreeMap::new();
        for row in &rows {
            let group: String = row.try_get("", "group_id")?;
            let name = names.get(&group).cloned();
            of.entry(row.try_get("", "id")?)
                .or_default()
                .push((group, name));
        }
        for user in users {
            user.groups = of.remove(&user.user.id).unwrap_or_default();
        }
        Ok(())
    }

    async fn group_names(&self) -> Result<HashMap<String, Arc<str>>> {
        let mut values: Vec<Value> = vec![];
        let groups = self.snapshot(self.at.directory).sql("g", &mut values);
        let sql = format!("SELECT g.id, g.display_name FROM groups g WHERE {groups}");
        let rows = query_all(&self.scope.conn(), &sql, values).await?;
        rows.iter()
            .map(|row| {
                let name: String = row.try_get("", "display_name")?;
                Ok((row.try_get("", "id")?, name.into()))
            })
            .collect()
    }

    /// Devices behind an id, by id, at most so many.
    pub async fn devices(&self, behind: &str, limit: u64) -> Result<Vec<ExtractedDevice>> {
        let devices = self.records(DeviceRow::TABLE, behind, limit).await?;
        let ids: Vec<&str> = devices.iter().filter_map(|d| d.text("device_id")).collect();
        let managed = all_of(
            &self.scope,
            ManagedDeviceRow::TABLE,
            &self.snapshot(self.at.directory),
            "device_id",
            &ids,
        )
        .await?;
        let mut managed: HashMap<String, Record> = managed
            .into_iter()
            .filter_map(|one| Some((one.text("device_id")?.to_owned(), one)))
            .collect();
        Ok(devices
            .into_iter()
            .map(|device| ExtractedDevice {
                managed: device.text("device_id").and_then(|id| managed.remove(id)),
                device,
            })
            .collect())
    }

    /// Risks that Microsoft detected, behind an id, by id, at most so many.
    pub async fn risk_detections(&self, behind: &str, limit: u64) -> Result<Vec<Record>> {
        self.records(RiskDetectionRow::TABLE, behind, limit).await
    }

    async fn records(
        &self,
        table: &'static Table,
        behind_id: &str,
        limit: u64,
    ) -> Result<Vec<Record>> {
        let snapshot = self.snapshot(self.at.directory);
        // Rows of before there were generations have the generation 0.
        let since = self.after.map_or(-1, |after| after.directory);
        behind(&self.scope, table, &snapshot, since, behind_id, limit).await
    }

    /// The controls of Secure Score on the newest day, by id. None where only changes are asked for and no
    /// run of Secure Score was published since: a score is told whole, as Microsoft does.
    pub async fn controls(&self) -> Result<Vec<Control>> {
        let is_old = |after: Generations| after.secure_score >= self.at.secure_score;
        if self.at.secure_score == 0 || self.after.is_some_and(is_old) {
            return Ok(vec![]);
        }
        let snapshot = self.snapshot(self.at.secure_score);
        let mut controls = secure_score::controls_of(&self.scope, &snapshot).await?;
        controls.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(controls)
    }
}

fn read_user(row: &QueryResult) -> Result<ExtractedUser> {
    Ok(ExtractedUser {
        user: User::from_query_result(row, "")?,
        mfa_registered: row.try_get("", "is_mfa_registered")?,
        is_admin: row.try_get("", "is_admin")?,
        last_sign_in_at: row.try_get("", "last_sign_in_at")?,
        sign_in_is_known: row.try_get::<Option<String>>("", "activity_of")?.is_some(),
        risk_level: row.try_get("", "risk_level")?,
        groups: vec![],
    })
}
