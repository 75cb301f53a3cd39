//! Monthly reports whose day has come: made, and put into the outbox.

use model::{
    Db, brand, monthly,
    report_schedule::{self, Due},
};

/// The most that mail by Graph takes, bytes (source: Microsoft's "Attach large files").
const LARGEST: usize = 3 * 1024 * 1024;

/// Makes what is due; answers how many. Any number of processes may do so at the same time.
pub(crate) async fn run(db: &Db) -> anyhow::Result<usize> {
    let mut made = 0;
    for due in report_schedule::due(db).await? {
        // One company's trouble must not keep the others from their reports.
        match one(&due).await {
            Ok(is_made) => made += usize::from(is_made),
            Err(error) => {
                tracing::warn!(company = %due.schedule.company_id, %error, "a report was not made");
            }
        }
    }
    Ok(made)
}

async fn one(due: &Due) -> anyhow::Result<bool> {
    let scope = &due.scope;
    let found = monthly::gather(scope, due.schedule.company_id, &due.month).await?;
    let Some(found) = found else {
        return Ok(false);
    };
    let partner = model::partner::current(scope).await?.name;
    let brand = brand::get(scope).await?;
    let subject = format!(
        "{}: security report, {}",
        found.company,
        report::monthly::month_name(&due.month)
    );
    let text = report::monthly::text(&found, &partner);
    let name = format!("security-report-{}.pdf", due.month);
    let bytes = tokio::task::spawn_blocking(move || report::monthly::pdf(&found, &partner, &brand))
        .await??;
    anyhow::ensure!(bytes.len() <= LARGEST, "the PDF is larger than mail takes");
    let content = data_encoding::BASE64.encode(&bytes);
    let sent = report_schedule::send(due, &subject, &text, (&name, &content)).await?;
    Ok(sent.is_some())
}
