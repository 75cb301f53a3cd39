//! Catalogues of controls, which are data: a file in `catalogues/` each. And how far the controls of one
//! are covered, from how fresh the evidence is.

use std::{collections::BTreeMap, sync::LazyLock};

use model::{
    EvidenceKind, MappingId, Timestamp,
    evidence::{History, Source},
};
use rust_embed::RustEmbed;
use serde::Deserialize;

#[derive(RustEmbed)]
#[folder = "catalogues/"]
struct Files;

/// A framework's controls, as far as evidence speaks of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Its word in addresses and in the database.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whose words these are.
    pub source: String,
    /// Its controls.
    #[serde(rename = "control")]
    pub controls: Vec<Control>,
}

/// A control and the evidence that it rests on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Its number in the framework.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// What it asks for.
    pub text: String,
    /// Kinds of evidence, all of which it needs.
    pub evidence: Vec<EvidenceKind>,
}

static CATALOGUES: LazyLock<Vec<Catalogue>> = LazyLock::new(|| {
    let mut all: Vec<Catalogue> = Files::iter()
        .filter_map(|name| Files::get(&name))
        // A file that cannot be read is a defect that the test below shows.
        .filter_map(|file| toml::from_str(std::str::from_utf8(&file.data).ok()?).ok())
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
});

/// All catalogues, by name.
pub fn catalogues() -> &'static [Catalogue] {
    &CATALOGUES
}

/// One catalogue.
pub fn catalogue(id: &str) -> Option<&'static Catalogue> {
    catalogues().iter().find(|c| c.id == id)
}

impl Catalogue {
    /// One control.
    pub fn control(&self, id: &str) -> Option<&Control> {
        self.controls.iter().find(|c| c.id == id)
    }

    /// Which kinds of evidence each control rests on.
    pub fn kinds(&self) -> BTreeMap<String, Vec<EvidenceKind>> {
        let pairs = self.controls.iter();
        pairs.map(|c| (c.id.clone(), c.evidence.clone())).collect()
    }
}

/// Numbers of the controls, over all catalogues, that a kind of evidence speaks for.
pub fn controls_of(kind: EvidenceKind) -> Vec<&'static str> {
    catalogues()
        .iter()
        .flat_map(|c| &c.controls)
        .filter(|c| c.evidence.contains(&kind))
        .map(|c| c.id.as_str())
        .collect()
}

/// Where a control stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All evidence that it needs is there and fresh.
    Covered,
    /// Some evidence was seen and is too old.
    Degraded,
    /// Some evidence was never seen: why stands with the newest sync.
    Incomplete,
    /// Nothing is read that could show anything.
    NoSource,
}

impl State {
    /// In words.
    pub fn label(self) -> &'static str {
        match self {
            Self::Covered => "Covered",
            Self::Degraded => "Degraded",
            Self::Incomplete => "Incomplete",
            Self::NoSource => "No source",
        }
    }
}

/// How far a control is covered.
#[derive(Debug, Clone, PartialEq)]
pub struct Coverage {
    /// Where it stands.
    pub state: State,
    /// Sources that it needs: kinds of evidence times mappings.
    pub needed: usize,
    /// Of these, those that are fresh.
    pub fresh: usize,
    /// Those that were seen and are too old: mapping, kind and since when.
    pub stale: Vec<(MappingId, EvidenceKind, Timestamp)>,
    /// Those that were never seen.
    pub missing: Vec<(MappingId, EvidenceKind)>,
    /// When the first of the fresh ones becomes too old.
    pub until: Option<Timestamp>,
}

impl Coverage {
    /// Fresh sources of those needed, in percent; `None` where nothing is needed.
    pub fn percent(&self) -> Option<f64> {
        percent(self.fresh, self.needed)
    }
}

#[allow(clippy::cast_precision_loss)] // counts of sources
fn percent(fresh: usize, needed: usize) -> Option<f64> {
    (needed > 0).then(|| fresh as f64 * 100.0 / needed as f64)
}

/// How far a control is covered at a moment by these sources, which are one company's or all.
pub fn coverage(control: &Control, sources: &[Source], now: Timestamp) -> Coverage {
    let mut coverage = Coverage {
        state: State::NoSource,
        needed: 0,
        fresh: 0,
        stale: vec![],
        missing: vec![],
        until: None,
    };
    for source in sources
        .iter()
        .filter(|s| control.evidence.contains(&s.kind))
    {
        coverage.needed += 1;
        match source.stale_at() {
            None => coverage.missing.push((source.mapping, source.kind)),
            Some(until) if source.is_fresh(now) => {
                coverage.fresh += 1;
                coverage.until = Some(coverage.until.map_or(until, |before| before.min(until)));
            }
            Some(since) => coverage.stale.push((source.mapping, source.kind, since)),
        }
    }
    coverage.state = if coverage.needed == 0 {
        State::NoSource
    } else if !coverage.stale.is_empty() {
        State::Degraded
    } else if !coverage.missing.is_empty() {
        State::Incomplete
    } else {
        State::Covered
    };
    coverage
}

/// The share of a control's sources that were fresh at a moment that is past, in percent.
pub fn past_percent(control: &Control, then: &History) -> Option<f64> {
    let mappings = usize::try_from(then.mappings).unwrap_or_default();
    let fresh: i64 = control
        .evidence
        .iter()
        .filter_map(|kind| then.fresh.get(kind))
        .sum();
    percent(
        usize::try_from(fresh).unwrap_or_default(),
        mappings * control.evidence.len(),
    )
}

#[cfg(test)]
mod tests {
    use model::CompanyId;

    use super::*;

    #[test]
    fn every_file_is_a_catalogue() {
        assert_eq!(catalogues().len(), Files::iter().count());
        let soc2 = catalogue("soc2").unwrap();
        let ids: Vec<&str> = soc2.controls.iter().map(|c| c.id.as_str()).collect();
        assert_eq!(ids, ["CC6.1", "CC6.2", "CC7.1"]);
        for kind in EvidenceKind::ALL {
            assert!(
                !controls_of(*kind).is_empty(),
                "{kind} speaks for no control"
            );
        }
    }

    #[test]
    fn coverage_follows_freshness_to_the_millisecond() {
        let control = &catalogue("soc2").unwrap().controls[1];
        let mapping = MappingId(uuid::Uuid::from_u128(1));
        let source = |kind, observed_at| Source {
            mapping,
            company: CompanyId(uuid::Uuid::from_u128(2)),
            kind,
            observed_at,
            limit_ms: 1000,
        };
        let at = Timestamp;
        let sources = [
            source(EvidenceKind::UserInventory, Some(at(5000))),
            source(EvidenceKind::PrivilegedRoles, Some(at(5500))),
            source(EvidenceKind::MfaRegistration, None),
        ];
        let whole = coverage(control, &sources, at(6000));
        assert_eq!(
            (whole.state, whole.percent()),
            (State::Covered, Some(100.0))
        );
        assert_eq!(whole.until, Some(at(6000)));
        let half = coverage(control, &sources, at(6001));
        assert_eq!((half.state, half.percent()), (State::Degraded, Some(50.0)));
        assert_eq!(
            half.stale,
            [(mapping, EvidenceKind::UserInventory, at(6000))]
        );
        assert_eq!(
            coverage(control, &sources[..1], at(5000)).state,
            State::Covered
        );
        let unseen = [source(EvidenceKind::UserInventory, None)];
        assert_eq!(coverage(control, &unseen, at(0)).state, State::Incomplete);
        assert_eq!(coverage(control, &[], at(0)).state, State::NoSource);
    }
}
