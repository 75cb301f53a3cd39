//! Whether an account exists cannot be told from how long a refusal takes.

use std::time::Instant;

use crate::{
    app::{Database, TestApp, run},
    rig::number,
};

/// How often a value of the one is above one of the other: 0.5 where they cannot be told apart (the area
/// under the ROC curve, by the Mann-Whitney statistic).
#[allow(clippy::cast_precision_loss)]
fn area(one: &[f64], other: &[f64]) -> f64 {
    let mut above = 0.0;
    for a in one {
        for b in other {
            above += match a.total_cmp(b) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    above / (one.len() as f64 * other.len() as f64)
}

#[test]
#[ignore = "minutes: ./scripts/assure B20"]
fn a_refusal_takes_as_long_for_an_account_as_for_none() {
    run(|| async {
        let world = crate::app::licensed(sim::World::demo(crate::app::secret()));
        let app = TestApp::start_with(Database::Sqlite, world, false).await;
        let hash = portal::hash_password(crate::app::PASSWORD, &[])
            .await
            .unwrap();
        // An account with a password, as most have.
        let member = "here@halden.example";
        model::member::create(&app.scope(), member, &hash, model::Role::Viewer)
            .await
            .unwrap();
        let pairs = number("TENANTRY_PAIRS", 2000);
        let (mut known, mut unknown) = (vec![], vec![]);
        let mut pages = [String::new(), String::new()];
        for pair in 0..pairs {
            // Attempts are limited; another quarter of an hour has a count of its own.
            if pair % 8 == 0 {
                app.advance_minutes(16);
            }
            let mut both = [
                (member, &mut known, 0),
                ("gone@halden.example", &mut unknown, 1),
            ];
            if pair % 2 == 1 {
                both.reverse();
            }
            for (email, times, page) in both {
                let began = Instant::now();
                let answer = app
                    .stranger()
                    .post(
                        "/sign-in",
                        &[("email", email), ("password", "not the right one")],
                    )
                    .await;
                assert_eq!(answer.status(), 422);
                pages[page] = answer.text().await.unwrap().replace(email, "EMAIL");
                times.push(began.elapsed().as_secs_f64());
            }
        }
        assert_eq!(pages[0], pages[1], "the answers differ");
        let area = area(&known, &unknown);
        println!(
            "B20: {pairs} refusals of an account and {pairs} of none, in turns: the same page, area under the curve {area:.3} (0.5 cannot be told apart)"
        );
        assert!((area - 0.5).abs() <= 0.05, "{area}");
    });
}
