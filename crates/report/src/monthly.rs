//! The monthly report of a company as PDF, and the few sentences of the mail that brings it.

use model::{
    brand::Brand,
    monthly::{Monthly, Score},
};

use crate::pdf::{Colour, Error, INK, LINE, MARGIN, SOFT, Sheet, WIDTH, Weight};

/// `November 2026` of `2026-11`.
pub fn month_name(month: &str) -> String {
    const NAMES: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let (year, number) = month.split_once('-').unwrap_or((month, ""));
    let name = number
        .parse::<usize>()
        .ok()
        .and_then(|n| NAMES.get(n.wrapping_sub(1)));
    name.map_or_else(|| month.to_owned(), |name| format!("{name} {year}"))
}

/// A number with a sign, to one decimal.
fn signed(change: f64) -> String {
    match change {
        c if c.abs() < 0.05 => "unchanged".into(),
        c if c > 0.0 => format!("up {c:.1} points"),
        c => format!("down {:.1} points", -c),
    }
}

/// What a tile says: head, figure, what it means.
pub type Tile = (&'static str, String, String);

/// The figures at the top.
pub fn tiles(report: &Monthly) -> Vec<Tile> {
    let unknown = || "unknown".to_owned();
    let score = report.scores.first();
    let mfa_change = report
        .mfa_before
        .and_then(|m| m.percent())
        .zip(report.mfa.percent());
    let globals = report
        .administrators
        .iter()
        .filter(|(_, role)| role == "Global Administrator")
        .count();
    vec![
        (
            "Secure Score",
            score
                .and_then(|s| s.last)
                .map_or_else(unknown, |last| format!("{last:.1} %")),
            score
                .and_then(|s| Some(signed(s.last? - s.first?)))
                .unwrap_or_else(|| "not read in this month".into()),
        ),
        (
            "Users with MFA",
            report
                .mfa
                .percent()
                .map_or_else(unknown, |p| format!("{p:.1} %")),
            match mfa_change {
                Some((before, now)) => signed(now - before),
                None if report.mfa.known == 0 => "the report could not be read".into(),
                None => "no figure from before".into(),
            },
        ),
        (
            "Global administrators",
            globals.to_string(),
            format!("of {} role assignments", report.administrators_in_all),
        ),
        (
            "Stale accounts",
            report
                .stale
                .map_or_else(unknown, |[_, _, ninety]| ninety.to_string()),
            match report.stale {
                Some(_) => "no sign-in for 90 days".into(),
                None => "sign-ins were not read".into(),
            },
        ),
    ]
}

/// The sentences of the mail.
pub fn text(report: &Monthly, partner: &str) -> String {
    let mut text = format!(
        "The report of {} for {} is attached.\n",
        report.company,
        month_name(&report.month)
    );
    for (head, figure, means) in tiles(report) {
        text.push_str(&format!("\n{head}: {figure} ({means})"));
    }
    text.push_str(&format!(
        "\n\n{} accounts appeared and {} left in the month.\n\n{partner}\n",
        report.appeared.0, report.left.0
    ));
    text
}

/// The report as PDF.
///
/// # Errors
/// When it cannot be written: a defect of ours.
pub fn pdf(report: &Monthly, partner: &str, brand: &Brand) -> Result<Vec<u8>, Error> {
    let title = format!("{}, {}", report.company, month_name(&report.month));
    let foot = format!("{partner} · made on {}", report.made_at.day());
    let mut sheet = Sheet::new(&title, &foot, brand)?;
    let colour = brand.rgb();
    head(&mut sheet, report, partner, colour);
    figures(&mut sheet, report);
    for score in &report.scores {
        score_section(&mut sheet, score, report, colour);
    }
    mfa_section(&mut sheet, report, colour);
    accounts_section(&mut sheet, report, colour);
    administrators_section(&mut sheet, report, colour);
    changes_section(&mut sheet, report, colour);
    alerts_section(&mut sheet, report, colour);
    sheet.finish()
}

fn head(sheet: &mut Sheet, report: &Monthly, partner: &str, colour: Colour) {
    let right = MARGIN + WIDTH;
    if !sheet.logo(right, sheet.y, 140.0, 36.0) {
        sheet.text_to(right, sheet.y + 22.0, 12.0, Weight::Semibold, INK, partner);
    }
    let name = sheet.cut(&report.company, WIDTH - 160.0, 22.0, Weight::Semibold);
    sheet.text_at(MARGIN, sheet.y + 18.0, 22.0, Weight::Semibold, INK, &name);
    let month = format!("Security report, {}", month_name(&report.month));
    sheet.text_at(MARGIN, sheet.y + 36.0, 11.0, Weight::Regular, SOFT, &month);
    sheet.y += 48.0;
    sheet.fill(MARGIN, sheet.y, WIDTH, 2.5, colour);
    sheet.y += 16.0;
}

fn figures(sheet: &mut Sheet, report: &Monthly) {
    let tiles = tiles(report);
    #[allow(clippy::cast_precision_loss)] // four
    let width = (WIDTH - 12.0 * (tiles.len() as f32 - 1.0)) / tiles.len() as f32;
    let (mut x, y) = (MARGIN, sheet.y);
    for (head, figure, means) in tiles {
        sheet.frame(x, y, width, 66.0, LINE);
        sheet.text_at(x + 10.0, y + 18.0, 8.5, Weight::Regular, SOFT, head);
        sheet.text_at(x + 10.0, y + 41.0, 19.0, Weight::Semibold, INK, &figure);
        let means = sheet.cut(&means, width - 16.0, 8.0, Weight::Regular);
        sheet.text_at(x + 10.0, y + 56.0, 8.0, Weight::Regular, SOFT, &means);
        x += width + 12.0;
    }
    sheet.y += 72.0;
}

fn score_section(sheet: &mut Sheet, score: &Score, report: &Monthly, colour: Colour) {
    let title = match report.scores.len() {
        1 => "Microsoft Secure Score".to_owned(),
        _ => format!("Microsoft Secure Score of {}", score.tenant),
    };
    sheet.heading(&title, colour, 150.0);
    let (left, top, width, height) = (MARGIN + 26.0, sheet.y + 4.0, WIDTH - 70.0, 110.0);
    let values = score.days.iter().map(|(_, percent)| *percent);
    let low = (values.clone().fold(100.0, f64::min) / 10.0).floor() * 10.0;
    let high = ((values.fold(0.0, f64::max) / 10.0).ceil() * 10.0).max(low + 10.0);
    #[allow(clippy::cast_possible_truncation)] // percent
    let at = |percent: f64| top + height - ((percent - low) / (high - low)) as f32 * height;
    for percent in [low, f64::midpoint(low, high), high] {
        let y = at(percent);
        sheet.line(vec![(left, y), (left + width, y)], LINE, 0.5, false);
        sheet.text_to(
            left - 6.0,
            y + 3.0,
            8.0,
            Weight::Regular,
            SOFT,
            &format!("{percent:.0}"),
        );
    }
    #[allow(clippy::cast_precision_loss)] // some ninety days
    let step = width / (score.days.len().max(2) - 1) as f32;
    #[allow(clippy::cast_precision_loss)] // the same
    let points: Vec<(f32, f32)> = score
        .days
        .iter()
        .enumerate()
        .map(|(i, (_, percent))| (left + i as f32 * step, at(*percent)))
        .collect();
    if let (Some((x, y)), Some((_, percent))) = (points.last().copied(), score.days.last()) {
        sheet.text_at(
            x + 6.0,
            y + 3.0,
            9.0,
            Weight::Semibold,
            INK,
            &format!("{percent:.1} %"),
        );
        sheet.fill(x - 2.0, y - 2.0, 4.0, 4.0, INK);
    }
    sheet.line(points, colour, 1.8, false);
    if let Some(average) = score.average.filter(|a| *a > low && *a < high) {
        let y = at(average);
        sheet.line(vec![(left, y), (left + width, y)], SOFT, 0.9, true);
    }
    let days: Vec<&str> = score.days.iter().map(|(day, _)| day.as_str()).collect();
    if let (Some(first), Some(last)) = (days.first(), days.last()) {
        sheet.text_at(left, top + height + 14.0, 8.0, Weight::Regular, SOFT, first);
        sheet.text_to(
            left + width,
            top + height + 14.0,
            8.0,
            Weight::Regular,
            SOFT,
            last,
        );
    }
    sheet.y = top + height + 22.0;
    if let Some(average) = score.average {
        let text = format!(
            "The dashed line is the average of all organisations, {average:.1} %, as Microsoft gives it."
        );
        sheet.paragraph(&text, 8.5, SOFT);
    }
    if !score.to_win.is_empty() {
        sheet.y += 6.0;
        let rows: Vec<[String; 2]> = score
            .to_win
            .iter()
            .map(|(title, points)| [title.clone(), format!("{points:.1}")])
            .collect();
        table(sheet, ["Most points to win", "Points"], &rows);
    }
}

fn mfa_section(sheet: &mut Sheet, report: &Monthly, colour: Colour) {
    sheet.heading("Multi-factor authentication", colour, 70.0);
    let mfa = report.mfa;
    let all = mfa.known + mfa.unknown;
    if all == 0 {
        sheet.paragraph("No account was read.", 9.5, INK);
        return;
    }
    #[allow(clippy::cast_precision_loss)] // numbers of users
    let share = |n: i64| n as f32 / all as f32 * WIDTH;
    let y = sheet.y + 4.0;
    let (registered, missing) = (share(mfa.registered), share(mfa.known - mfa.registered));
    sheet.fill(MARGIN, y, registered, 12.0, colour);
    sheet.fill(MARGIN + registered, y, missing, 12.0, SOFT);
    sheet.frame(MARGIN, y, WIDTH, 12.0, SOFT);
    sheet.y = y + 14.0;
    let rows = [
        ["Registered".to_owned(), mfa.registered.to_string()],
        [
            "Not registered".to_owned(),
            (mfa.known - mfa.registered).to_string(),
        ],
        ["Unknown".to_owned(), mfa.unknown.to_string()],
    ];
    table(sheet, ["From left to right", "Accounts"], &rows);
}

fn accounts_section(sheet: &mut Sheet, report: &Monthly, colour: Colour) {
    sheet.heading("Accounts", colour, 170.0);
    let o = &report.accounts;
    let mut rows = vec![
        ["Members".to_owned(), o.members.to_string()],
        ["Guests".to_owned(), o.guests.to_string()],
        ["Disabled".to_owned(), o.disabled.to_string()],
        ["With a licence".to_owned(), o.licensed.to_string()],
    ];
    for (i, days) in [30, 60, 90].into_iter().enumerate() {
        let count = report
            .stale
            .map_or_else(|| "unknown".to_owned(), |all| all[i].to_string());
        rows.push([format!("Enabled, and no sign-in for {days} days"), count]);
    }
    let head = match report.synced_at {
        Some(at) => format!("As read on {}", at.day()),
        None => "Never read".to_owned(),
    };
    table(sheet, [head.as_str(), "Accounts"], &rows);
}

fn administrators_section(sheet: &mut Sheet, report: &Monthly, colour: Colour) {
    sheet.heading("Administrators", colour, 60.0);
    if report.administrators.is_empty() {
        sheet.paragraph("No assignment of a role was read.", 9.5, INK);
        return;
    }
    let rows: Vec<[String; 2]> = report
        .administrators
        .iter()
        .map(|(name, role)| [name.clone(), role.clone()])
        .collect();
    table(sheet, ["Who", "Role"], &rows);
    let more = report.administrators_in_all - i64::try_from(rows.len()).unwrap_or(0);
    if more > 0 {
        sheet.paragraph(&format!("and {more} more assignments."), 8.5, SOFT);
    }
}

fn changes_section(sheet: &mut Sheet, report: &Monthly, colour: Colour) {
    sheet.heading("What changed in the month", colour, 40.0);
    for (what, (count, names)) in [("appeared", &report.appeared), ("left", &report.left)] {
        let mut text = match count {
            0 => format!("No account {what}."),
            1 => format!("1 account {what}"),
            n => format!("{n} accounts {what}"),
        };
        if *count > 0 {
            text.push_str(&format!(": {}", names.join(", ")));
            let more = count - i64::try_from(names.len()).unwrap_or(0);
            text.push_str(&match more {
                0 => ".".to_owned(),
                more => format!(", and {more} more."),
            });
        }
        sheet.paragraph(&text, 9.5, INK);
    }
}

fn alerts_section(sheet: &mut Sheet, report: &Monthly, colour: Colour) {
    sheet.heading("Alerts of the month", colour, 40.0);
    if report.alerts.is_empty() {
        sheet.paragraph("None opened.", 9.5, INK);
        return;
    }
    let rows: Vec<[String; 2]> = report
        .alerts
        .iter()
        .map(|(at, title, closed)| {
            let state = match closed {
                Some(closed) => format!("closed {}", closed.day()),
                None => "open".to_owned(),
            };
            [format!("{}  {title}", at.day()), state]
        })
        .collect();
    table(sheet, ["Opened", "State"], &rows);
}

/// Two columns, the second one ending at the margin.
fn table(sheet: &mut Sheet, heads: [&str; 2], rows: &[[String; 2]]) {
    let right = MARGIN + WIDTH;
    sheet.keep(34.0);
    sheet.y += 14.0;
    sheet.text_at(MARGIN, sheet.y, 8.5, Weight::Semibold, SOFT, heads[0]);
    sheet.text_to(right, sheet.y, 8.5, Weight::Semibold, SOFT, heads[1]);
    sheet.y += 5.0;
    sheet.line(vec![(MARGIN, sheet.y), (right, sheet.y)], SOFT, 0.8, false);
    for [left, end] in rows {
        sheet.keep(18.0);
        sheet.y += 14.0;
        let end = sheet.cut(end, WIDTH * 0.4, 9.5, Weight::Regular);
        let left_width = WIDTH - sheet.width(&end, 9.5, Weight::Regular) - 16.0;
        let left = sheet.cut(left, left_width, 9.5, Weight::Regular);
        sheet.text_at(MARGIN, sheet.y, 9.5, Weight::Regular, INK, &left);
        sheet.text_to(right, sheet.y, 9.5, Weight::Regular, INK, &end);
        sheet.y += 4.0;
        sheet.line(vec![(MARGIN, sheet.y), (right, sheet.y)], LINE, 0.4, false);
    }
    sheet.y += 4.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_have_names() {
        assert_eq!(month_name("2026-11"), "November 2026");
        assert_eq!(month_name("2026-00"), "2026-00");
        assert_eq!(signed(1.26), "up 1.3 points");
        assert_eq!(signed(-4.0), "down 4.0 points");
        assert_eq!(signed(0.01), "unchanged");
    }
}
