//! The door to a partner's rows.

use std::collections::BTreeSet;

use sea_orm::{
    ColumnTrait, Condition, EntityTrait, QueryFilter, Select,
    sea_query::{Expr, ExprTrait},
};

use crate::{
    CompanyId, Db, Error, MemberId, PartnerId, Result, Role, Timestamp,
    db::{Conn, Tx},
    entity,
};

/// Who acts, as the audit log names them.
#[derive(Debug, Clone)]
pub struct Actor {
    /// `member`, `token`, `run`, `operator` or `administrator` (a customer's, during consent).
    pub kind: &'static str,
    /// Id of the member, token or run; empty for the operator.
    pub id: String,
    /// Name at the time.
    pub name: String,
    /// Network address, empty for work without a request.
    pub address: String,
}

/// A partner's rows as one actor may see them. It can be made only by authenticating
/// ([`crate::session`], [`crate::api_token`]), by claiming a run, by presenting a consent state, or
/// by the operator on the machine itself.
#[derive(Debug, Clone)]
pub struct Scope {
    db: Db,
    partner: PartnerId,
    member: Option<MemberId>,
    role: Role,
    companies: Option<BTreeSet<CompanyId>>,
    actor: Actor,
}

impl Scope {
    pub(crate) fn new(db: &Db, partner: PartnerId, role: Role, actor: Actor) -> Self {
        Self {
            db: db.clone(),
            partner,
            member: None,
            role,
            companies: None,
            actor,
        }
    }

    pub(crate) fn of_member(
        db: &Db,
        membership: &entity::membership::Model,
        role: Role,
        actor: Actor,
    ) -> Result<Self> {
        let companies = match &membership.companies {
            None => None,
            Some(json) => Some(
                serde_json::from_str(json)
                    .map_err(|e| Error::Stored(format!("memberships.companies: {e}")))?,
            ),
        };
        Ok(Self {
            member: Some(membership.member_id),
            companies,
            ..Self::new(db, membership.partner_id, role, actor)
        })
    }

    /// The operator, who has the machine and therefore every partner; used by the command line.
    pub fn operator(db: &Db, partner: PartnerId) -> Self {
        let actor = Actor {
            kind: "operator",
            id: String::new(),
            name: "operator".to_owned(),
            address: String::new(),
        };
        Self::new(db, partner, Role::Owner, actor)
    }

    /// The partner.
    pub fn partner(&self) -> PartnerId {
        self.partner
    }

    /// The member behind it, if a person.
    pub fn member(&self) -> Option<MemberId> {
        self.member
    }

    /// The role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Who acts.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The database.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.db.clock().now()
    }

    /// Whether every company of the partner is visible.
    pub fn sees_all_companies(&self) -> bool {
        self.companies.is_none()
    }

    /// Whether both see the same companies.
    pub(crate) fn sees_as(&self, other: &Self) -> bool {
        self.partner == other.partner && self.companies == other.companies
    }

    /// The same scope with the request's address, for the audit log.
    #[must_use]
    pub fn from_address(mut self, address: &str) -> Self {
        address.clone_into(&mut self.actor.address);
        self
    }

    /// Refuses a role below `least`.
    pub fn require(&self, least: Role) -> Result<()> {
        if self.role >= least {
            Ok(())
        } else {
            Err(Error::Forbidden(least))
        }
    }

    /// Refuses a role below `least`, and a membership that is limited to companies: for what belongs
    /// to the whole partner.
    pub fn require_everywhere(&self, least: Role) -> Result<()> {
        self.require(least)?;
        if self.sees_all_companies() {
            Ok(())
        } else {
            Err(Error::Conflict(
                "Your membership is limited to some companies; this belongs to the whole \
                 organisation."
                    .into(),
            ))
        }
    }

    /// Whether the company is inside the scope.
    pub fn sees(&self, company: CompanyId) -> bool {
        self.companies.as_ref().is_none_or(|c| c.contains(&company))
    }

    /// Begins a write by a person. It takes the partner's row first, so that what is checked inside
    /// it stays true until it commits, and so that such writes never wait for each other crosswise:
    /// the order of locks is partner, run, mapping.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        begin_for(&self.db, self.partner).await
    }

    /// Begins a write that does not wait for the partner's turn; it may take no audit row.
    pub(crate) async fn begin_beside(&self) -> Result<Tx> {
        self.db.begin_of(self.partner).await
    }

    /// Reads of the partner's rows.
    pub(crate) fn conn(&self) -> Conn {
        self.db.conn_of(self.partner)
    }

    /// Where a write of one statement goes.
    pub(crate) fn writer(&self) -> Conn {
        self.db.writer_of(self.partner)
    }

    pub(crate) fn find<E: Owned>(&self) -> Select<E> {
        E::find().filter(self.condition::<E>())
    }

    fn condition<E: Owned>(&self) -> Condition {
        let mut condition = Condition::all().add(E::PARTNER.eq(self.partner));
        if let Some(companies) = &self.companies {
            condition = condition.add(match E::COMPANY {
                Some(column) => column.is_in(companies.iter().copied()),
                // A table without companies belongs to the whole partner: a limited membership
                // sees nothing of it.
                None => Expr::val(1).eq(Expr::val(0)),
            });
        }
        condition
    }
}

/// A table whose rows belong to one partner and perhaps to one company.
pub(crate) trait Owned: EntityTrait {
    const PARTNER: Self::Column;
    const COMPANY: Option<Self::Column>;
}

macro_rules! owned {
    ($($module:ident),+; with company: $($with:ident),+) => {
        $(impl Owned for entity::$module::Entity {
            const PARTNER: Self::Column = entity::$module::Column::PartnerId;
            const COMPANY: Option<Self::Column> = None;
        })+
        $(impl Owned for entity::$with::Entity {
            const PARTNER: Self::Column = entity::$with::Column::PartnerId;
            const COMPANY: Option<Self::Column> = Some(entity::$with::Column::CompanyId);
        })+
    };
}

owned!(credential, credential_secret, authorisation, connection_test, consent_link, tenant,
    consent_request, audit_row, api_token, membership, invitation, sign_in_provider, identity, channel, intake, brand, contact_form;
    with company: report_schedule, evidence, evidence_observation, assessment, alert, delivery, mapping, run, user, mfa_registration, group, group_member, domain, secure_score, subscribed_sku,
    control_score, control_profile);

impl Owned for entity::company::Entity {
    const PARTNER: Self::Column = entity::company::Column::PartnerId;
    const COMPANY: Option<Self::Column> = Some(entity::company::Column::Id);
}

/// Begins a write that takes the partner's row first; see [`Scope::begin`]. A weaker lock than
/// `FOR UPDATE`, which would wait for every row that names the partner as it is inserted.
pub(crate) async fn begin_for(db: &Db, partner: PartnerId) -> Result<Tx> {
    let tx = db.begin_of(partner).await?;
    if db.kind() == "postgres" {
        crate::db::query_one(
            &tx.conn,
            "SELECT id FROM partners WHERE id = $1 FOR NO KEY UPDATE",
            vec![partner.into()],
        )
        .await?;
    }
    Ok(tx)
}
