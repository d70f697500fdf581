//! A revision's own cases, tried before it serves.

use super::Plugins;
use super::loaded::{Failure, Loaded};
use super::pipeline::Obstacle;
use super::revision::Revision;
use super::state::Stage;
use crate::cases::{self, Case, Subject};
use ripost_domain::api::ApiName;
use ripost_domain::units;
use std::sync::atomic::{AtomicUsize, Ordering};

impl Plugins {
    /// **Blocking**, on a thread of a tokio runtime that may block; for as long as the cases take.
    pub(super) fn smoke(&self, revision: &Revision, loaded: &Loaded) -> Result<(), Failure> {
        let failure = |reason: String, obstacle| Failure { stage: Stage::Smoke, reason, obstacle };
        let mut cases: Vec<(Subject<'_>, &str, Case)> = Vec::new();
        for (active, asked) in loaded.apis.iter().zip(&loaded.manifest.apis) {
            // A service of the owner's has no cases.
            let Some(handler) = active.target.handler() else { continue };
            let subject = Subject {
                api: &active.name,
                price: active.spec.price,
                handler,
                transforms: &active.transforms,
                schema: active.schema.as_deref(),
                limits: &active.limits,
                config: &active.config,
                grants: &asked.grants,
            };
            let files = asked.cases.iter().flat_map(|folder| revision.cases(folder));
            for (file, text) in files {
                let case = Case::read(file, text, &asked.grants);
                let case = case.map_err(|error| failure(error.to_string(), Obstacle::Bad))?;
                cases.push((subject.clone(), file, case));
            }
        }
        let done = AtomicUsize::new(0);
        let all = async {
            for (subject, file, case) in &cases {
                let tried = cases::run(&self.runtime, subject, case).await;
                if let Some(reason) = reason(file, case, subject.api, &tried.differences) {
                    return Err(failure(reason, if tried.is_hosts { Obstacle::Passing } else { Obstacle::Bad }));
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let wall = self.config.smoke_wall;
        match tokio::runtime::Handle::current().block_on(async { tokio::time::timeout(wall, all).await }) {
            Ok(tried) => tried,
            Err(_) => {
                let (done, all) = (done.load(Ordering::Relaxed), units::counted(cases.len(), "case", "cases"));
                let reason = format!(
                    "{done} of {all} could be tried within {}; make them quicker, or have the operator raise plugins.smoke_wall",
                    units::format_duration(wall)
                );
                // Perhaps the host was busy.
                Err(failure(reason, Obstacle::Passing))
            }
        }
    }
}

fn reason(file: &str, case: &Case, api: &ApiName, differences: &[String]) -> Option<String> {
    let first = differences.first()?;
    let more = match differences.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more; `ripost test` shows all)"),
    };
    Some(format!("case `{}` ({file}) of {api}: {first}{more}", case.name))
}
