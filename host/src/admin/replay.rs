//! A request with what another run of it needs, for `ripost replay`.

use super::Admin;
use super::access::Principal;
use crate::archive;
use crate::gateway::requests::contents_gone;
use crate::plugins::PluginError;
use crate::problem::{Kind, Problem};
use crate::replay::{self, Record};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ripost_domain::time::Timestamp;
use ripost_store::RequestRecord;
use std::collections::BTreeMap;

/// The owner of the request's API sees it too: its handler has seen all of it, and the seed is this request's alone.
pub(super) async fn of(
    admin: &Admin,
    principal: &Principal,
    record: RequestRecord,
    query: Option<&str>,
) -> Result<Record, Problem> {
    let (id, owner) = (record.id, record.api.owner.as_str());
    let input = admin.store.input(id).await?.ok_or_else(contents_gone)?;
    let past = crate::runs::entries(admin.store.journal_of(id).await?);
    let tape = replay::read_tape(admin.store.tape(id).await?.as_ref());
    let tape = tape.map_err(|error| Problem::new(Kind::Internal, format!("{error:#}")))?;
    let runs = admin.store.runs(id).await?;
    let began_at = runs.last().map_or(record.created_at, |run| run.started_at);
    let secrets = admin.owner_secrets.list(Some(&record.api.owner)).into_iter();
    let placeholders = secrets.map(|line| {
        let name = line.name.to_string();
        let placeholder = admin.keyring.secret_placeholder(owner, &name);
        (name, placeholder)
    });
    let scopes = past.steps.iter().map(|step| &step.name).chain(past.calls.iter().map(|call| &call.scope));
    let step_keys: BTreeMap<String, String> =
        scopes.filter(|name| !name.is_empty()).map(|name| (name.clone(), admin.keyring.step_key(id, name))).collect();
    let outcome = match (admin.store.result(id).await?, &record.problem) {
        (Some(stored), _) => Some(replay::Stored::Answer(replay::Answered {
            status: stored.meta.status,
            headers: replay::coded(stored.meta.headers),
            body: replay::Base64(stored.body),
        })),
        (None, Some(problem)) => {
            let problem: serde_json::Value = serde_json::from_slice(problem).unwrap_or_default();
            Some(replay::Stored::Problem(problem["type"].as_str().unwrap_or_default().to_owned()))
        }
        (None, None) => None,
    };
    let plugin = match query == Some("plugin=true") {
        true => Some(plugin(admin, principal, &record)?),
        false => None,
    };
    let millis = |at: Timestamp| u64::try_from(at.as_millis()).unwrap_or(0);
    Ok(Record {
        id: id.to_string(),
        api: record.api.to_string(),
        revision: record.digest.to_string(),
        consumer: admin.keyring.opaque_consumer(owner, record.consumer),
        attempt: record.attempt,
        created_at_ms: millis(record.created_at),
        began_at_ms: millis(began_at),
        input: replay::Input {
            method: input.method,
            path: input.path,
            query: input.query,
            headers: replay::coded(input.headers),
            body: replay::Base64(input.body),
            attributes: input.attributes,
        },
        seed: STANDARD.encode(admin.keyring.seed(id)),
        placeholders: placeholders.collect(),
        step_keys,
        journal: replay::Written::of(&past),
        tape,
        price_usdc: Some(record.split.price),
        captured_usdc: record.captured,
        outcome,
        plugin,
    })
}

/// Of a plugin that several owners share, none sees the others' components.
fn plugin(admin: &Admin, principal: &Principal, record: &RequestRecord) -> Result<String, Problem> {
    let or = "name a folder with --plugin";
    let files = admin.plugins.files_of(record.digest, principal.only()).map_err(|error| match error {
        PluginError::Shared(_) => {
            Problem::new(Kind::Forbidden, format!("The plugin has APIs of other owners as well; {or}."))
        }
        error => Problem::new(
            Kind::RevisionUnavailable,
            format!("The revision that the request names is no longer there ({error}); {or}."),
        ),
    })?;
    let packed = archive::pack(&files).map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    Ok(STANDARD.encode(packed))
}
