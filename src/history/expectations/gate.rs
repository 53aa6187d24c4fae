//! What stands between computed tables and those that readers see.

use super::check::{Occasion, check};
use super::definition::Expectation;
use super::result::CheckResult;
use crate::config::HistorySettings;
use crate::history::HistoryError;
use crate::history::release::Release;
use crate::history::runs::RunReport;
use crate::history::tables::TableRows;

/// The expectations that a run's tables must meet before they are published; none where the settings ask for none.
pub(in crate::history) struct Gate(Option<Vec<Expectation>>);

impl Gate {
    /// The gate that the settings ask for.
    ///
    /// # Errors
    /// [`HistoryError::Expectations`] where a file of theirs says what cannot be meant.
    pub(in crate::history) async fn of(settings: &HistorySettings) -> Result<Gate, HistoryError> {
        if !settings.validate {
            return Ok(Gate(None));
        }
        Ok(Gate(Some(super::load(&settings.expectations, None).await?)))
    }

    /// Lets pass what meets all of them.
    ///
    /// # Errors
    /// [`HistoryError::NotMet`] with those that are not met.
    pub(in crate::history) async fn pass(&self, rows: &[TableRows], report: &RunReport) -> Result<(), HistoryError> {
        let Gate(Some(expectations)) = self else {
            return Ok(());
        };
        let results = check(expectations, &Release::computed(rows, report), Occasion::Computed).await?;
        let failures: Vec<CheckResult> = results
            .into_iter()
            .filter(|result| result.failure().is_some())
            .collect();
        match failures.is_empty() {
            true => Ok(()),
            false => Err(HistoryError::NotMet { failures }),
        }
    }
}
