//! Rows as stored. Only this crate sees the entities; their `Model`s are re-exported under the
//! names of things.

/// One module per table: its columns, key and enums.
macro_rules! entity {
    ($module:ident, $table:literal, $(#[$doc:meta])+ {
        $( $(#[$key:meta])* $field:ident : $type:ty ),+ $(,)?
    }) => {
        #[allow(missing_docs, unreachable_pub)] // some rows are re-exported, some are not
        pub(crate) mod $module {
            #[allow(unused_imports)]
            use crate::{*, entity::types::*};
            use sea_orm::entity::prelude::*;

            $(#[$doc])+
            #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
            #[sea_orm(table_name = $table)]
            pub struct Model { $( $(#[$key])* pub $field: $type ),+ }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        }
    };
}

pub(crate) mod types;

entity!(partner, "partners", /// An MSP organisation.
{
    #[sea_orm(primary_key, auto_increment = false)] id: PartnerId,
    name: String,
    created_at: Timestamp,
    audit_seq: i64,
    audit_head: String,
    run_number: i64,
    contact: String,
});

entity!(partner_key, "partner_keys", /// A partner's wrapped data key.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] version: i64,
    provider_key: String,
    wrapped: Vec<u8>,
    created_at: Timestamp,
    uses: i64,
});

entity!(member, "members", /// A person who signs in.
{
    #[sea_orm(primary_key, auto_increment = false)] id: MemberId,
    email: String,
    name: String,
    password_hash: Option<String>,
    created_at: Timestamp,
    password_changed_at: Option<Timestamp>,
});

entity!(membership, "memberships", /// A member's role with one partner.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] member_id: MemberId,
    role: Role,
    companies: Option<String>,
    created_at: Timestamp,
    removed_at: Option<Timestamp>,
});

entity!(invitation, "invitations", /// A single-use invitation to become a member.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: InvitationId,
    token_hash: String,
    email: String,
    role: Role,
    created_at: Timestamp,
    expires_at: Timestamp,
    accepted_at: Option<Timestamp>,
    companies: Option<String>,
    withdrawn_at: Option<Timestamp>,
});

entity!(session, "sessions", /// A signed-in browser.
{
    #[sea_orm(primary_key, auto_increment = false)] token_hash: String,
    id: SessionId,
    partner_id: PartnerId,
    member_id: MemberId,
    method: SignInMethod,
    provider_id: Option<SignInProviderId>,
    created_at: Timestamp,
    seen_at: Timestamp,
    proved_at: Timestamp,
    expires_at: Timestamp,
    user_agent: String,
    address: String,
});

entity!(totp, "totps", /// A member's authenticator app.
{
    #[sea_orm(primary_key, auto_increment = false)] member_id: MemberId,
    provider_key: String,
    wrapped: Vec<u8>,
    sealed: Vec<u8>,
    created_at: Timestamp,
    confirmed_at: Option<Timestamp>,
    last_step: i64,
});

entity!(passkey, "passkeys", /// A member's passkey: its public key and what else is needed to check it.
{
    #[sea_orm(primary_key, auto_increment = false)] id: PasskeyId,
    member_id: MemberId,
    credential_id: String,
    credential: String,
    name: String,
    created_at: Timestamp,
    used_at: Option<Timestamp>,
});

entity!(sign_in_provider, "sign_in_providers", /// Where members of a partner may sign in instead.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: SignInProviderId,
    kind: ProviderKind,
    name: String,
    cloud: String,
    directory_id: Option<DirectoryId>,
    issuer: String,
    client_id: String,
    key_version: i64,
    wrapped: Vec<u8>,
    sealed: Vec<u8>,
    is_listed: i64,
    created_at: Timestamp,
    removed_at: Option<Timestamp>,
});

entity!(identity, "identities", /// A member as a provider knows them.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] provider_id: SignInProviderId,
    #[sea_orm(primary_key, auto_increment = false)] subject: String,
    member_id: MemberId,
    username: String,
    created_at: Timestamp,
    used_at: Option<Timestamp>,
});

entity!(api_token, "api_tokens", /// A bearer token of a member, kept hashed.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: ApiTokenId,
    member_id: MemberId,
    name: String,
    token_hash: String,
    role: Role,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    used_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
});

entity!(audit_row, "audit_rows", /// One link of a partner's audit chain.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] seq: i64,
    at: Timestamp,
    actor_kind: String,
    actor_id: String,
    actor_name: String,
    address: String,
    action: String,
    target_kind: String,
    target_id: String,
    target_name: String,
    detail: String,
    previous_hash: String,
    hash: String,
});

entity!(credential, "credentials", /// An Entra application registration.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: CredentialId,
    kind: CredentialKind,
    name: String,
    cloud: String,
    directory_id: DirectoryId,
    client_id: ClientId,
    secret_version: i64,
    secret_expires_at: Option<Timestamp>,
    state: CredentialState,
    sync_interval_minutes: i64,
    last_success_at: Option<Timestamp>,
    last_error_at: Option<Timestamp>,
    last_error_code: Option<String>,
    last_error: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
    revoked_at: Option<Timestamp>,
    features: String,
    authorised_as: Option<String>,
    authorised_at: Option<Timestamp>,
    mail_from: String,
    mail_to: String,
});

entity!(credential_secret, "credential_secrets", /// A sealed secret, private key or refresh token; it stays inside this crate.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: CredentialSecretId,
    credential_id: CredentialId,
    kind: SecretKind,
    state: SecretState,
    sealed: Vec<u8>,
    content_key: Vec<u8>,
    key_version: i64,
    certificate: Option<Vec<u8>>,
    thumbprint: Option<String>,
    expires_at: Option<Timestamp>,
    created_at: Timestamp,
    replaced_at: Option<Timestamp>,
});

entity!(authorisation, "authorisations", /// One attempt to authorise a delegated connection.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: AuthorisationId,
    credential_id: CredentialId,
    session_hash: String,
    state_hash: String,
    created_at: Timestamp,
    expires_at: Timestamp,
    used_at: Option<Timestamp>,
});

entity!(connection_test, "connection_tests", /// One test of a connection with its lines so far.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: ConnectionTestId,
    credential_id: CredentialId,
    directory_id: DirectoryId,
    state: TestState,
    lines: String,
    started_at: Timestamp,
    finished_at: Option<Timestamp>,
});

entity!(consent_link, "consent_links", /// A link by which a customer's administrator consents without an account here.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: ConsentLinkId,
    credential_id: CredentialId,
    directory_id: Option<DirectoryId>,
    company_name: String,
    note: String,
    token_hash: String,
    member_id: MemberId,
    created_at: Timestamp,
    expires_at: Timestamp,
    opened_at: Option<Timestamp>,
    opened_count: i64,
    withdrawn_at: Option<Timestamp>,
    used_at: Option<Timestamp>,
});

entity!(tenant, "tenants", /// A Microsoft Entra directory as one credential sees it.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: TenantId,
    credential_id: CredentialId,
    cloud: String,
    client_id: ClientId,
    directory_id: DirectoryId,
    display_name: String,
    default_domain: String,
    domains: String,
    country: Option<String>,
    found_by: String,
    state: TenantState,
    granted_scopes: String,
    consented_at: Option<Timestamp>,
    checked_at: Option<Timestamp>,
    last_error_code: Option<String>,
    last_error: Option<String>,
    created_at: Timestamp,
    granted_permissions: Option<String>,
    permissions_checked_at: Option<Timestamp>,
    relationship: Option<String>,
    found_at: Option<Timestamp>,
});

entity!(consent_request, "consent_requests", /// One attempt to have a tenant's administrator consent.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: ConsentRequestId,
    credential_id: CredentialId,
    pinned_directory_id: Option<DirectoryId>,
    member_id: MemberId,
    session_hash: Option<String>,
    state_hash: String,
    proof_state_hash: Option<String>,
    step: ConsentStep,
    claimed_directory_id: Option<DirectoryId>,
    granted_scopes: String,
    outcome: Option<String>,
    outcome_code: Option<String>,
    outcome_detail: Option<String>,
    tenant_id: Option<TenantId>,
    created_at: Timestamp,
    expires_at: Timestamp,
    used_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    link_id: Option<ConsentLinkId>,
    administrator: Option<String>,
    person_id: Option<uuid::Uuid>,
    unexpected: Option<String>,
    checks: i64,
    next_check_at: Option<Timestamp>,
});

entity!(company, "companies", /// A customer of a partner.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: CompanyId,
    name: String,
    name_key: String,
    domain: String,
    external_id: String,
    created_at: Timestamp,
    updated_at: Timestamp,
    archived_at: Option<Timestamp>,
});

entity!(mapping, "mappings", /// Company ↔ tenant under one credential.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: MappingId,
    company_id: CompanyId,
    tenant_id: TenantId,
    credential_id: CredentialId,
    directory_id: DirectoryId,
    matched_by: String,
    interval_minutes: Option<i64>,
    planned_directory: Option<i64>,
    planned_secure_score: Option<i64>,
    planned_sign_in_activity: Option<i64>,
    last_sync_at: Option<Timestamp>,
    last_sync_state: Option<String>,
    created_at: Timestamp,
    deleted_at: Option<Timestamp>,
});

entity!(run, "runs", /// One unit of background work that a person can see.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: RunId,
    number: i64,
    mapping_id: MappingId,
    company_id: CompanyId,
    kind: RunKind,
    cause: RunCause,
    requested_by: String,
    slot: Option<i64>,
    state: RunState,
    priority: i64,
    collectors: Option<String>,
    attempt: i64,
    fence: i64,
    worker: Option<String>,
    lease_until: Option<Timestamp>,
    not_before: Timestamp,
    pushed_attempt: Option<i64>,
    pushed_at: Option<Timestamp>,
    cancel_requested_at: Option<Timestamp>,
    error_code: Option<String>,
    error: Option<String>,
    remedy: Option<String>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
});

entity!(run_collector, "run_collectors", /// What one collector did in a run. Counts are of objects; `waited_ms` is time spent throttled.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] run_id: RunId,
    #[sea_orm(primary_key, auto_increment = false)] name: String,
    position: i64,
    state: CollectorState,
    pages: i64,
    objects_read: i64,
    objects_new: i64,
    objects_changed: i64,
    objects_removed: i64,
    expected: Option<i64>,
    requests: i64,
    throttled: i64,
    waited_ms: i64,
    code: Option<String>,
    reason: Option<String>,
    remedy: Option<String>,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
});

entity!(run_event, "run_events", /// One line of a run's timeline.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] run_id: RunId,
    #[sea_orm(primary_key, auto_increment = false)] seq: i64,
    at: Timestamp,
    level: String,
    message: String,
});

entity!(user, "users", /// A user of a customer's directory. `None` means that Microsoft gave no value.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] mapping_id: MappingId,
    #[sea_orm(primary_key, auto_increment = false)] id: String,
    company_id: CompanyId,
    display_name: String,
    user_principal_name: String,
    mail: Option<String>,
    given_name: Option<String>,
    surname: Option<String>,
    job_title: Option<String>,
    department: Option<String>,
    office_location: Option<String>,
    company_name: Option<String>,
    employee_id: Option<String>,
    employee_type: Option<String>,
    on_premises_sam_account_name: Option<String>,
    usage_location: Option<String>,
    user_type: Option<String>,
    external_user_state: Option<String>,
    account_enabled: Option<bool>,
    on_premises_sync_enabled: Option<bool>,
    licences: Option<String>,
    licensed: Option<bool>,
    account_created_at: Option<Timestamp>,
    last_password_change_at: Option<Timestamp>,
    #[sea_orm(primary_key, auto_increment = false)] since: i64,
    until: i64,
    seen: i64,
    digest: i64,
    first_seen_at: Timestamp,
    changed_at: Timestamp,
    ended_at: Option<Timestamp>,
});

entity!(mfa_registration, "mfa_registrations", /// What the registration report says of one user.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] mapping_id: MappingId,
    #[sea_orm(primary_key, auto_increment = false)] id: String,
    company_id: CompanyId,
    is_admin: Option<bool>,
    is_mfa_registered: Option<bool>,
    is_mfa_capable: Option<bool>,
    is_passwordless_capable: Option<bool>,
    methods: Option<String>,
    reported_at: Option<Timestamp>,
    #[sea_orm(primary_key, auto_increment = false)] since: i64,
    until: i64,
    seen: i64,
    digest: i64,
    first_seen_at: Timestamp,
    changed_at: Timestamp,
    ended_at: Option<Timestamp>,
});

entity!(group, "groups", /// A group of a customer's directory.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] mapping_id: MappingId,
    #[sea_orm(primary_key, auto_increment = false)] id: String,
    company_id: CompanyId,
    display_name: String,
    description: Option<String>,
    kind: String,
    membership_rule: Option<String>,
    mail: Option<String>,
    visibility: Option<String>,
    security_enabled: Option<bool>,
    mail_enabled: Option<bool>,
    is_assignable_to_role: Option<bool>,
    on_premises_sync_enabled: Option<bool>,
    group_created_at: Option<Timestamp>,
    #[sea_orm(primary_key, auto_increment = false)] since: i64,
    until: i64,
    seen: i64,
    digest: i64,
    first_seen_at: Timestamp,
    changed_at: Timestamp,
    ended_at: Option<Timestamp>,
});

entity!(group_member, "group_members", /// A member of a group: a user, a group, a device or a service principal.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] mapping_id: MappingId,
    #[sea_orm(primary_key, auto_increment = false)] group_id: String,
    #[sea_orm(primary_key, auto_increment = false)] id: String,
    company_id: CompanyId,
    member_type: String,
    display_name: Option<String>,
    #[sea_orm(primary_key, auto_increment = false)] since: i64,
    until: i64,
    seen: i64,
    digest: i64,
    first_seen_at: Timestamp,
    changed_at: Timestamp,
    ended_at: Option<Timestamp>,
});

entity!(domain, "domains", /// A domain of a customer's directory.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] mapping_id: MappingId,
    #[sea_orm(primary_key, auto_increment = false)] id: String,
    company_id: CompanyId,
    authentication_type: Option<String>,
    is_default: Option<bool>,
    is_initial: Option<bool>,
    is_verified: Option<bool>,
    supported_services: Option<String>,
    #[sea_orm(primary_key, auto_increment = false)] since: i64,
    until: i64,
    seen: i64,
    digest: i64,
    first_seen_at: Timestamp,
    changed_at: Timestamp,
    ended_at: Option<Timestamp>,
});

entity!(secure_score, "secure_scores", /// Microsoft Secure Score of one day, in points.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] mapping_id: MappingId,
    #[sea_orm(primary_key, auto_increment = false)] id: String,
    company_id: CompanyId,
    day: String,
    current_score: f64,
    max_score: f64,
    active_user_count: Option<i64>,
    licensed_user_count: Option<i64>,
    enabled_services: String,
    averages: String,
    #[sea_orm(primary_key, auto_increment = false)] since: i64,
    until: i64,
    seen: i64,
    digest: i64,
    first_seen_at: Timestamp,
    changed_at: Timestamp,
    ended_at: Option<Timestamp>,
});

entity!(control_score, "control_scores", /// Points of one control on one day.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] mapping_id: MappingId,
    #[sea_orm(primary_key, auto_increment = false)] day: String,
    #[sea_orm(primary_key, auto_increment = false)] id: String,
    company_id: CompanyId,
    category: String,
    score: Option<f64>,
    score_in_percentage: Option<f64>,
    implementation_status: Option<String>,
    description: Option<String>,
    last_synced_at: Option<Timestamp>,
    #[sea_orm(primary_key, auto_increment = false)] since: i64,
    until: i64,
    seen: i64,
    digest: i64,
    first_seen_at: Timestamp,
    changed_at: Timestamp,
    ended_at: Option<Timestamp>,
});

entity!(control_profile, "control_profiles", /// What a control is, what it is worth and how to act on it. Texts are Microsoft's and contain HTML.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] mapping_id: MappingId,
    #[sea_orm(primary_key, auto_increment = false)] id: String,
    company_id: CompanyId,
    title: String,
    category: String,
    max_score: Option<f64>,
    rank: Option<i64>,
    action_type: Option<String>,
    action_url: Option<String>,
    service: Option<String>,
    tier: Option<String>,
    threats: String,
    user_impact: Option<String>,
    implementation_cost: Option<String>,
    remediation: Option<String>,
    remediation_impact: Option<String>,
    state: Option<String>,
    deprecated: Option<bool>,
    #[sea_orm(primary_key, auto_increment = false)] since: i64,
    until: i64,
    seen: i64,
    digest: i64,
    first_seen_at: Timestamp,
    changed_at: Timestamp,
    ended_at: Option<Timestamp>,
});

entity!(subscribed_sku, "subscribed_skus", /// A licence that a customer's directory subscribes to. Units are seats.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] mapping_id: MappingId,
    #[sea_orm(primary_key, auto_increment = false)] id: String,
    company_id: CompanyId,
    sku_id: String,
    sku_part_number: String,
    capability_status: Option<String>,
    applies_to: Option<String>,
    enabled_units: Option<i64>,
    suspended_units: Option<i64>,
    warning_units: Option<i64>,
    consumed_units: Option<i64>,
    service_plans: String,
    #[sea_orm(primary_key, auto_increment = false)] since: i64,
    until: i64,
    seen: i64,
    digest: i64,
    first_seen_at: Timestamp,
    changed_at: Timestamp,
    ended_at: Option<Timestamp>,
});

entity!(evidence, "evidence", /// A statement of evidence: what a sync saw, in canonical JSON. It is never altered.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: EvidenceId,
    company_id: CompanyId,
    mapping_id: MappingId,
    kind: EvidenceKind,
    fingerprint: String,
    content: String,
    generation: i64,
    run_id: RunId,
    created_at: Timestamp,
});

entity!(evidence_observation, "evidence_observations", /// A run that saw what a statement says.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] evidence_id: EvidenceId,
    #[sea_orm(primary_key, auto_increment = false)] run_id: RunId,
    company_id: CompanyId,
    mapping_id: MappingId,
    kind: EvidenceKind,
    observed_at: Timestamp,
});

entity!(assessment, "assessments", /// A company's controls over a period, with what shows them.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: AssessmentId,
    company_id: CompanyId,
    name: String,
    catalogue: String,
    controls: String,
    period_start: Timestamp,
    period_end: Timestamp,
    state: AssessmentState,
    created_by: MemberId,
    created_by_name: String,
    created_at: Timestamp,
    approved_by: Option<MemberId>,
    approved_by_name: Option<String>,
    approved_at: Option<Timestamp>,
    note: String,
});

entity!(alert, "alerts", /// An alert; `text` and `link` are ours, `subject` names what it is about.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: AlertId,
    number: i64,
    kind: AlertKind,
    subject: String,
    company_id: Option<CompanyId>,
    severity: Severity,
    stage: String,
    title: String,
    text: String,
    link: String,
    state: AlertState,
    opened_at: Timestamp,
    changed_at: Timestamp,
    snoozed_until: Option<Timestamp>,
    handled_by: Option<String>,
    handled_at: Option<Timestamp>,
    closed_at: Option<Timestamp>,
});

entity!(channel, "channels", /// A way by which notifications leave; its secret stays sealed.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: ChannelId,
    kind: ChannelKind,
    name: String,
    settings: String,
    key_version: i64,
    wrapped: Vec<u8>,
    sealed: Vec<u8>,
    kinds: String,
    least_severity: Severity,
    events: String,
    companies: Option<String>,
    digest_hour: Option<i64>,
    digested_day: Option<String>,
    created_at: Timestamp,
    removed_at: Option<Timestamp>,
    last_sent_at: Option<Timestamp>,
    last_error_at: Option<Timestamp>,
    last_error: Option<String>,
});

entity!(brand, "brands", /// How a partner's reports look.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    colour: String,
    logo: Option<Vec<u8>>,
    logo_type: String,
});

entity!(report_schedule, "report_schedules", /// When a company's monthly report is sent, and to whom.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: ReportScheduleId,
    company_id: CompanyId,
    channel_id: ChannelId,
    recipients: String,
    day: i64,
    last_month: String,
    created_at: Timestamp,
    removed_at: Option<Timestamp>,
});

entity!(contact_form, "contact_forms", /// A partner's public contact form.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    slug: String,
    channel_id: ChannelId,
    recipient: String,
    intro: String,
    is_on: i64,
});

entity!(delivery, "deliveries", /// Something that a channel is to send, or sent.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: DeliveryId,
    channel_id: ChannelId,
    company_id: Option<CompanyId>,
    event: String,
    subject: String,
    body: String,
    state: DeliveryState,
    attempts: i64,
    not_before: Timestamp,
    lease_until: Option<Timestamp>,
    created_at: Timestamp,
    sent_at: Option<Timestamp>,
    error: Option<String>,
});

entity!(intake, "intakes", /// Where events of what was synced are sent; its token stays sealed.
{
    #[sea_orm(primary_key, auto_increment = false)] partner_id: PartnerId,
    #[sea_orm(primary_key, auto_increment = false)] id: IntakeId,
    name: String,
    url: String,
    scheme: String,
    key_version: i64,
    wrapped: Vec<u8>,
    sealed: Vec<u8>,
    classes: String,
    schema_version: String,
    form: String,
    companies: Option<String>,
    is_on: bool,
    batch: i64,
    fence: i64,
    lease_until: Timestamp,
    not_before: Timestamp,
    failures: i64,
    events: i64,
    created_at: Timestamp,
    removed_at: Option<Timestamp>,
    last_sent_at: Option<Timestamp>,
    last_error_at: Option<Timestamp>,
    last_error: Option<String>,
});
