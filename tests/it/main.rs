//! Tests come in through the front door: HTTP in, the simulated cloud behind, on both databases,
//! with time moved by the clock. Each test exists once and is run on SQLite and, when
//! `TENANTRY_TEST_POSTGRES` names a server, on PostgreSQL.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod alerts;
mod app;
mod audit;
mod authenticator;
mod bad_input;
mod canaries;
mod changes;
mod channels;
mod clouds;
mod companies;
mod connections;
mod consent_flow;
mod consent_links;
mod consent_matrix;
mod crash;
mod crowd;
mod discovery;
mod documents;
mod evidence;
mod examples;
mod exchange;
mod hardening;
mod id_tokens;
mod isolation;
mod key_services;
// One line for each change: it is read as a table.
#[rustfmt::skip]
mod ledger;
mod links;
mod main_job;
mod metadata;
mod ocsf;
mod pages;
mod receiver;
mod recorded;
mod recovery;
mod refusals;
mod renewal;
mod reports;
mod rig;
mod rigs;
mod schedule;
mod sessions;
mod sign_in;
mod strangers;
mod suggestions;
mod sync_faults;
mod timing;
mod wall;

/// Defines a test for both databases.
#[macro_export]
macro_rules! on_both {
    ($(async fn $name:ident($app:ident) $body:block)+) => { $(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn body($app: $crate::app::TestApp) $body

            #[test]
            fn sqlite() {
                $crate::app::run(|| async {
                    body($crate::app::TestApp::start($crate::app::Database::Sqlite).await).await;
                });
            }

            #[test]
            fn postgres() {
                if let Some(server) = $crate::app::postgres_server() {
                    $crate::app::run(|| async move {
                        let database = $crate::app::Database::Postgres(server);
                        body($crate::app::TestApp::start(database).await).await;
                    });
                }
            }
        }
    )+ };
}
