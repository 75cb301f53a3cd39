//! The registration report: who has MFA. Without Entra ID P1 it cannot be read, and then MFA is
//! unknown, never "not registered".
//!
//! The report tells no changes, but it can be asked for in the order of its last updates: then only
//! what is newer than what is stored is read. Where the answer does not keep that order, it is read
//! to its end.

use futures_util::future::BoxFuture;
use graph::{Class, Request, types};
use model::{Feature, Timestamp, inventory::MfaRow};

use crate::collector::{Entry, Pass, Stop};

const NAME: &str = "mfa_registrations";

pub(crate) const ENTRY: Entry = Entry {
    feature: Some(Feature::Mfa),
    ..Entry::new(NAME, "AuditLog.Read.All", run)
};

fn run<'a>(pass: &'a Pass<'a>) -> BoxFuture<'a, Result<(), Stop>> {
    Box::pin(collect(pass))
}

fn report() -> Request {
    Request::get("/reports/authenticationMethods/userRegistrationDetails").top(999)
}

async fn collect(pass: &Pass<'_>) -> Result<(), Stop> {
    let newest: Option<i64> = pass.watermark(NAME).and_then(|c| c.parse().ok());
    if let Some(newest) = newest {
        let ordered = report().query("$orderby", "lastUpdatedDateTime desc");
        match read(pass, &ordered, Some(Timestamp(newest))).await {
            Err(Stop::Graph(error)) if error.class() == Class::Defect => {}
            other => return other,
        }
    }
    read(pass, &report(), None).await
}

/// Reads until what is stored already, or to the end.
async fn read(pass: &Pass<'_>, request: &Request, known: Option<Timestamp>) -> Result<(), Stop> {
    let (stage, began) = (pass.stage, pass.now());
    if known.is_none() {
        stage.expect(NAME, stage.present::<MfaRow>().await?);
    }
    let mut pages = pass.client.pages::<types::UserRegistrationDetails>(request);
    let mut order = Order::of(known);
    let mut reached = false;
    while !reached && let Some(page) = pages.next(&pass.meter).await? {
        let rows: Vec<MfaRow> = page.items.into_iter().map(normalise).collect();
        rows.iter().for_each(|row| order.see(row.reported_at));
        reached = order.has_reached();
        stage.page(NAME, rows, pass.page_counts(1)).await?;
    }
    if !reached {
        stage.complete::<MfaRow>(NAME, vec![]).await?;
    }
    let cursor = order.newest.map(|at| at.0.to_string());
    stage.read_to(NAME, cursor, began, !reached);
    Ok(())
}

/// Watches the order of what comes.
struct Order {
    known: Option<Timestamp>,
    newest: Option<Timestamp>,
    last: Option<Timestamp>,
    is_kept: bool,
}

impl Order {
    fn of(known: Option<Timestamp>) -> Self {
        Self {
            known,
            newest: known,
            last: None,
            is_kept: true,
        }
    }

    fn see(&mut self, at: Option<Timestamp>) {
        // One without a time, or newer than the one before: nothing follows from the order.
        self.is_kept &= at.is_some() && self.last.is_none_or(|last| at <= Some(last));
        self.last = at;
        self.newest = self.newest.max(at);
    }

    /// Whether all that follows is older than what is stored.
    fn has_reached(&self) -> bool {
        self.is_kept
            && self
                .last
                .zip(self.known)
                .is_some_and(|(last, known)| last < known)
    }
}

fn normalise(wire: types::UserRegistrationDetails) -> MfaRow {
    MfaRow {
        id: wire.id,
        is_admin: wire.is_admin,
        is_mfa_registered: wire.is_mfa_registered,
        is_mfa_capable: wire.is_mfa_capable,
        is_passwordless_capable: wire.is_passwordless_capable,
        methods: Some(super::json_list(&wire.methods_registered)),
        reported_at: wire.last_updated_date_time.map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(known: i64, times: &[Option<i64>]) -> bool {
        let mut order = Order::of(Some(Timestamp(known)));
        times.iter().for_each(|at| order.see(at.map(Timestamp)));
        order.has_reached()
    }

    #[test]
    fn only_an_answer_in_order_ends_early() {
        assert!(order(50, &[Some(90), Some(60), Some(49)]));
        assert!(
            !order(50, &[Some(90), Some(60), Some(50)]),
            "others may be as old"
        );
        assert!(
            !order(50, &[Some(90), Some(40), Some(60), Some(30)]),
            "not in order"
        );
        assert!(!order(50, &[Some(90), None, Some(30)]), "unknown");
        assert!(!order(50, &[]));
    }
}
