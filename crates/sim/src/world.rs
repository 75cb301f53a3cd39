//! The simulated world: applications and directories. Objects are not stored but computed from the
//! directory's seed, so that a directory of 100,000 users costs nothing to keep.

use uuid::Uuid;

/// An application registration.
#[derive(Debug, Clone)]
pub struct Application {
    /// Name.
    pub name: String,
    /// The directory that holds it.
    pub home: Uuid,
    /// Application id.
    pub client_id: Uuid,
    /// The secret's value.
    pub secret: String,
    /// Registered redirect URIs; any loopback one is accepted when empty.
    pub redirect_uris: Vec<String>,
    /// Permissions that its manifest asks for: application roles, or scopes where a person
    /// authorises it.
    pub roles: Vec<&'static str>,
    /// Whether other directories than its home may use it.
    pub multi_tenant: bool,
    /// Whether id tokens name the person's directory roles (`wids`).
    pub role_claims: bool,
}

/// A directory.
#[derive(Debug, Clone)]
pub struct Directory {
    /// Tenant id.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// Default domain.
    pub domain: String,
    /// Two-letter country.
    pub country: &'static str,
    /// Number of users.
    pub users: usize,
    /// Number of groups.
    pub groups: usize,
    /// Memberships over all groups, spread evenly.
    pub memberships: usize,
    /// Whether it has Entra ID P1.
    pub premium: bool,
    /// Every how many Graph requests one is throttled; 0 for never.
    pub throttle_every: usize,
    /// Its administrator presses Accept, but a policy declines.
    pub declines: bool,
    /// Percent of Secure Score on the newest day.
    pub score: u32,
    /// Seconds that a consent takes to work.
    pub spreads: i64,
    /// Whether a conditional access policy blocks applications.
    pub blocks: bool,
    /// Whether it has Entra ID P2 and Intune too.
    pub premium_two: bool,
    /// Number of devices.
    pub devices: usize,
    /// Whether it stands in a national cloud, where Graph lacks some parts.
    pub national: bool,
    /// How the partner knows it: `gdap`, `contract`, or not at all.
    pub relation: &'static str,
}

/// Everything.
#[derive(Debug, Clone)]
pub struct World {
    /// Applications.
    pub applications: Vec<Application>,
    /// Directories.
    pub directories: Vec<Directory>,
}

/// What the demo's registration asks for: the manifest of the product's guide.
pub(crate) const ROLES: &[&str] = &[
    "Organization.Read.All",
    "Domain.Read.All",
    "User.Read.All",
    "GroupMember.Read.All",
    "Application.Read.All",
    "RoleManagement.Read.Directory",
    "AuditLog.Read.All",
    "SecurityEvents.Read.All",
    "Device.Read.All",
    "DeviceManagementManagedDevices.Read.All",
    "Policy.Read.All",
    "IdentityRiskyUser.Read.All",
    "IdentityRiskEvent.Read.All",
    "RoleEligibilitySchedule.Read.Directory",
];

/// What discovery of customers needs beside them.
const DISCOVERY: &[&str] = &[
    "DelegatedAdminRelationship.Read.All",
    "CrossTenantInformation.ReadBasic.All",
    "Directory.Read.All",
];

/// People of a directory: the name before the `@`, and what they are.
pub(crate) const ACCOUNTS: &[(&str, &str)] = &[
    ("admin", "Global Administrator"),
    ("privileged", "Privileged Role Administrator"),
    ("groupadmin", "Global Administrator through a group"),
    ("appadmin", "Application Administrator"),
    ("user", "User without a role"),
    ("guest", "Guest administrator, at home elsewhere"),
];

/// The object id of an account in its directory.
pub(crate) fn account_id(directory: &Directory, account: &str) -> Uuid {
    match account {
        "admin" => crate::users::id(directory, 0),
        other => id(other.as_bytes(), directory.id.as_u64_pair().0),
    }
}

impl World {
    /// The demo: eleven customers and the partner's own directory.
    pub fn demo(secret: String) -> Self {
        let home = directory(0, "Halden MSP", "haldenmsp.example", "NO", 5, true, 61);
        let application = Application {
            name: "Halden partner portal".into(),
            home: home.id,
            client_id: id(b"application", 1),
            secret,
            redirect_uris: vec![],
            roles: ROLES.to_vec(),
            multi_tenant: true,
            role_claims: false,
        };
        // For the partner's own directory: one that reads by itself, and discovers customers; and
        // one in the name of a person.
        let own = Application {
            name: "Halden directory reader".into(),
            client_id: id(b"application", 2),
            secret: format!("{}~own", application.secret),
            roles: ROLES
                .iter()
                .copied()
                .filter(|r| *r != "RoleManagement.Read.Directory")
                .chain(DISCOVERY.iter().copied())
                .collect(),
            multi_tenant: false,
            ..application.clone()
        };
        let delegated = Application {
            name: "Halden evidence connector".into(),
            client_id: id(b"application", 3),
            secret: format!("{}~delegated", application.secret),
            ..own.clone()
        };
        let mut directories = vec![
            home,
            directory(
                1,
                "Contoso Bakery",
                "contosobakery.example",
                "US",
                12,
                true,
                44,
            ),
            directory(
                2,
                "Fabrikam Freight Ltd",
                "fabrikamfreight.example",
                "GB",
                240,
                true,
                58,
            ),
            directory(
                3,
                "Northwind Dental Group",
                "northwinddental.example",
                "US",
                85,
                true,
                72,
            ),
            directory(
                4,
                "Nørgård & Søn A/S",
                "norgaard.example",
                "DK",
                33,
                true,
                66,
            ),
            directory(5, "株式会社青空", "aozora.example", "JP", 58, true, 39),
            directory(
                6,
                "مؤسسة النخيل للتجارة",
                "alnakheel.example",
                "AE",
                41,
                true,
                51,
            ),
            directory(
                7,
                "Bold <b>Brothers</b> \"& Co\"",
                "boldbrothers.example",
                "CA",
                9,
                false,
                23,
            ),
            directory(
                8,
                "Tailspin Logistics GmbH",
                "tailspin.example",
                "DE",
                5000,
                true,
                47,
            ),
            directory(
                9,
                "Thrift Stores Holding",
                "thrift.example",
                "US",
                620,
                true,
                35,
            ),
            directory(
                10,
                "Vigilant Vault Bank",
                "vigilantvault.example",
                "CH",
                75,
                true,
                88,
            ),
            directory(11, "Ελιά Τρόφιμα ΑΕ", "elia.example", "GR", 27, false, 30),
        ];
        directories[9].throttle_every = 3;
        directories[10].declines = true;
        directories[11].spreads = 12;
        for (index, relation) in [
            (1, "gdap"),
            (2, "gdap"),
            (8, "gdap"),
            (3, "contract"),
            (5, "contract"),
        ] {
            directories[index].relation = relation;
        }
        for index in [0, 2, 8] {
            directories[index].premium_two = true;
        }
        Self {
            applications: vec![application, own, delegated],
            directories,
        }
    }

    /// One customer of a chosen size, for measurements.
    pub fn sized(secret: String, users: usize, groups: usize, memberships: usize) -> Self {
        let mut world = Self::demo(secret);
        let mut big = directory(
            50,
            "Measured Works",
            "measured.example",
            "US",
            users,
            true,
            50,
        );
        big.groups = groups;
        big.memberships = memberships;
        world.directories.push(big);
        world
    }

    /// The same with a number of devices; else it is two for every three users.
    pub fn sized_with_devices(
        secret: String,
        users: usize,
        groups: usize,
        memberships: usize,
        devices: usize,
    ) -> Self {
        let mut world = Self::sized(secret, users, groups, memberships);
        if let Some(big) = world.directories.last_mut() {
            big.devices = devices;
        }
        world
    }

    /// The directory of an id.
    pub(crate) fn of(&self, id: Uuid) -> Option<&Directory> {
        self.directories.iter().find(|d| d.id == id)
    }

    /// So many customers of the same size, for measurements.
    pub fn many(secret: String, tenants: usize, users: usize) -> Self {
        let mut world = Self::demo(secret);
        for number in 0..tenants {
            let mut customer = directory(
                1000 + number as u64,
                &format!("Customer {number}"),
                &format!("customer{number}.example"),
                "US",
                users,
                true,
                50,
            );
            customer.premium_two = true;
            world.directories.push(customer);
        }
        world
    }

    /// The directory of an id or a domain.
    pub fn directory(&self, tenant: &str) -> Option<&Directory> {
        self.directories
            .iter()
            .find(|d| d.id.to_string() == tenant.to_lowercase() || d.domain == tenant)
    }

    /// The application of a client id.
    pub fn application(&self, client_id: &str) -> Option<&Application> {
        let client_id = client_id.to_lowercase();
        self.applications
            .iter()
            .find(|a| a.client_id.to_string() == client_id)
    }
}

fn directory(
    number: u64,
    name: &str,
    domain: &str,
    country: &'static str,
    users: usize,
    premium: bool,
    score: u32,
) -> Directory {
    Directory {
        id: id(b"directory", number),
        name: name.into(),
        domain: domain.into(),
        country,
        users,
        groups: (users / 12).clamp(3, 400),
        memberships: users * 3,
        premium,
        throttle_every: 0,
        declines: false,
        score,
        spreads: 0,
        blocks: false,
        premium_two: false,
        devices: users * 2 / 3,
        national: false,
        relation: "",
    }
}

/// A stable UUID (version 4 in form) of a kind and a number.
pub(crate) fn id(kind: &[u8], number: u64) -> Uuid {
    let mut input = kind.to_vec();
    input.extend_from_slice(&number.to_be_bytes());
    let hash = ring::digest::digest(&ring::digest::SHA256, &input);
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}
