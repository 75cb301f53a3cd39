//! CSV with stable headers, safe to open in a spreadsheet: names come from customers' directories
//! and may be formulas.

pub use ::csv::Error;
use ::csv::Writer;

mod cell;
mod sheets;

pub use cell::cell;
pub use sheets::*;

/// A kind of file: its name, its headers and the cells of a row. Unknown is an empty cell.
#[derive(Debug)]
pub struct Sheet<T> {
    /// Its name, which a file's begins with.
    pub name: &'static str,
    /// Headers, in order; new ones are added at the end.
    pub headers: &'static [&'static str],
    cells: fn(&T) -> Vec<String>,
}

impl<T> Sheet<T> {
    /// Rows, one line each, in the order given. `with_headers` for the first part of a longer file.
    ///
    /// # Errors
    /// Never for rows in memory; the writer's signature has one.
    pub fn write(&self, rows: &[T], with_headers: bool) -> Result<Vec<u8>, Error> {
        let headers = with_headers.then_some(self.headers);
        lines(headers, rows.iter().map(self.cells))
    }
}

/// Lines of cells, each safe.
///
/// # Errors
/// As [`Sheet::write`].
pub(crate) fn lines(
    headers: Option<&[&str]>,
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::from_writer(Vec::new());
    if let Some(headers) = headers {
        writer.write_record(headers)?;
    }
    for cells in rows {
        writer.write_record(cells.iter().map(|text| cell(text).into_owned()))?;
    }
    writer.into_inner().map_err(|e| Error::from(e.into_error()))
}

/// Companies of a CSV with a header: the number of the line and what it says. The columns are found
/// by name, in any order: `name` (or `company`, `company name`), `domain`, `external id` (or
/// `external_id`, `psa id`); commas, semicolons and tabs separate.
///
/// # Errors
/// In words: no header, no column for the name, no line, a line that cannot be read.
pub fn companies(text: &str) -> Result<Vec<(u64, model::company::Draft)>, String> {
    let text = text.trim_start_matches('\u{feff}');
    if text.matches('"').count() % 2 == 1 {
        return Err("A quotation mark is opened and not closed. Look for a single \".".into());
    }
    // Browsers send pasted lines with another ending: lines are counted alike.
    let text = &text.replace("\r\n", "\n");
    let header = text.lines().next().unwrap_or_default();
    let delimiter = [b';', b'\t', b',']
        .into_iter()
        .find(|d| header.as_bytes().contains(d))
        .unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let headers = reader
        .headers()
        .map_err(|e| format!("The first line cannot be read: {e}."))?
        .clone();
    let column = |names: &[&str]| {
        headers.iter().position(|h| {
            let h = h.to_lowercase().replace(['_', '-'], " ");
            names.contains(&h.as_str())
        })
    };
    let Some(name) = column(&["name", "company", "company name"]) else {
        return Err(
            "No column is headed \"name\". The first line names the columns: name, domain, external id."
                .into(),
        );
    };
    let domain = column(&["domain", "website"]);
    let external_id = column(&["external id", "psa id", "id"]);
    let mut companies = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| format!("A line cannot be read: {e}."))?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |column: Option<usize>| {
            column
                .and_then(|c| record.get(c))
                .unwrap_or_default()
                .to_owned()
        };
        if record.iter().all(str::is_empty) {
            continue;
        }
        companies.push((
            line,
            model::company::Draft {
                name: cell(Some(name)),
                domain: cell(domain),
                external_id: cell(external_id),
            },
        ));
    }
    if companies.is_empty() {
        return Err("No line follows the header.".into());
    }
    Ok(companies)
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn formulas_become_text() {
        for bad in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            assert!(cell(bad).starts_with('\''), "{bad:?}");
        }
        assert_eq!(cell("Åse = 1"), "Åse = 1");
    }
}
