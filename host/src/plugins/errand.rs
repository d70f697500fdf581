//! What takes time on a revision's way into service: having its components compiled, by turns, and trying its cases. An
//! errand waits without a thread, holds no lock while it works, and ends when its revision is no longer wanted.

use super::loaded::{Assembly, Failure, Loaded, Want};
use super::manifest::Manifest;
use super::pipeline::Obstacle;
use super::revision::Revision;
use super::shared::Component;
use super::state::{News, Stage};
use super::{Plugins, lock};
use crate::causes::chain;
use crate::compile::{Claim, Urgency};
use ripost_domain::api::Digest;
use ripost_domain::units::format_duration;
use ripost_runtime::Job;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A revision that is to be made ready.
pub(super) struct Errand {
    pub(super) key: String,
    pub(super) digest: Digest,
    pub(super) manifest: Arc<Manifest>,
    pub(super) goal: Goal,
    /// It is no longer wanted.
    pub(super) withdrawn: CancellationToken,
}

/// What a revision is made ready for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal {
    /// To take the place of what serves.
    Candidate {
        /// In the plan.
        number: u64,
        /// It served when the host was stopped: then it is kept, whole, and its cases have passed.
        proven: bool,
        /// An owner sent it.
        pushed: bool,
    },
    /// To serve as it did when the host was stopped.
    Revival,
}

impl Errand {
    /// Whose turn its compiling takes. Of a folder that several owners share it is the first one's.
    fn owner(&self) -> Arc<str> {
        self.manifest.apis.first().map_or_else(|| "".into(), |api| api.name.owner.as_str().into())
    }

    fn is_proven(&self) -> bool {
        !matches!(self.goal, Goal::Candidate { proven: false, .. })
    }

    /// Whether it is in the data folder already.
    pub(super) fn is_kept(&self) -> bool {
        !matches!(self.goal, Goal::Candidate { pushed: false, .. })
    }

    pub(super) fn is_to_be_tried(&self) -> bool {
        !self.is_proven() && self.manifest.apis.iter().any(|api| api.cases.is_some())
    }

    /// Whether its owner pays for the compiler's time. The operator answers for the plugins folder, and what served before
    /// has been paid for.
    fn is_budgeted(&self) -> bool {
        matches!(self.goal, Goal::Candidate { pushed: true, proven: false, .. })
    }
}

/// Something of the plugins is under way as long as it is held.
pub(super) struct Busy(watch::Sender<usize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.send_modify(|errands| *errands -= 1);
    }
}

impl Plugins {
    pub(super) fn busy(&self) -> Busy {
        self.errands.send_modify(|errands| *errands += 1);
        Busy(self.errands.clone())
    }

    /// Waits until nothing is being made ready.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn settled(&self) {
        let mut errands = self.errands.subscribe();
        errands.wait_for(|errands| *errands == 0).await.expect("the sender lives in `self`");
    }

    /// Makes it ready, in a task of its own. `at_hand`: the revision, unless it is in the data folder.
    pub(super) fn spawn_errand(self: &Arc<Self>, errand: Errand, at_hand: Option<Arc<Revision>>, assembly: Assembly) {
        let (plugins, busy) = (self.clone(), self.busy());
        self.tasks.spawn(async move {
            let _busy = busy;
            if let Some(done) = plugins.make_ready(&errand, at_hand, assembly).await {
                let (concluding, key) = (plugins.clone(), errand.key.clone());
                let concluded = tokio::task::spawn_blocking(move || concluding.conclude(&errand, done)).await;
                if let Err(error) = concluded {
                    tracing::error!(plugin = key, %error, "Putting {key} into service broke down; the next scan begins anew");
                    let mut plan = lock(&plugins.plan);
                    plan.drop_candidate(&key);
                    plan.revivals.remove(&key);
                }
            }
            plugins.pass_soon();
        });
    }

    /// Compile, link, try, keep. `None`: it is no longer wanted.
    async fn make_ready(
        self: &Arc<Self>,
        errand: &Errand,
        at_hand: Option<Arc<Revision>>,
        mut assembly: Assembly,
    ) -> Option<Result<Arc<Loaded>, Failure>> {
        let mut made = Vec::new();
        let loaded = loop {
            let lacks = match assembly {
                Assembly::Whole(loaded) => break Arc::new(loaded),
                Assembly::Lacks(lacks) => lacks,
            };
            for want in lacks {
                match self.compile(errand, at_hand.as_ref(), &want).await? {
                    Ok(component) => made.push(component),
                    Err(failure) => return Some(Err(failure)),
                }
            }
            let (revision, manifest, made) = (at_hand.clone(), errand.manifest.clone(), made.clone());
            let digest = errand.digest;
            let again = self.blocking(move |plugins| {
                plugins.assemble(&*plugins.revision(revision.as_ref(), digest)?, &manifest, &made)
            });
            assembly = match again.await {
                Ok(assembly) => assembly,
                Err(failure) => return Some(Err(failure)),
            };
        };
        self.try_and_keep(errand, at_hand, loaded).await
    }

    /// Has one component compiled when it is its owner's turn.
    async fn compile(
        self: &Arc<Self>,
        errand: &Errand,
        at_hand: Option<&Arc<Revision>>,
        want: &Want,
    ) -> Option<Result<Arc<Component>, Failure>> {
        let owner = errand.owner();
        let urgency = if errand.is_proven() { Urgency::Missed } else { Urgency::New };
        loop {
            if let Err(failure) = self.check_budget(errand, &owner) {
                return Some(Err(failure));
            }
            let claim = Claim { owner: owner.clone(), urgency, bytes: want.bytes, component: *want.digest.as_bytes() };
            let worker = tokio::select! {
                worker = self.turns.worker(claim) => worker,
                () = errand.withdrawn.cancelled() => return None,
                () = self.stopping.cancelled() => return None,
            };
            // Others of the same owner may have used it up meanwhile.
            if let Err(failure) = self.check_budget(errand, &owner) {
                return Some(Err(failure));
            }
            let job = Arc::new(Job::default());
            let (revision, digest, want, of_worker) = (at_hand.cloned(), errand.digest, want.clone(), job.clone());
            let mut making = pin!(self.blocking(move |plugins| {
                plugins.make(&*plugins.revision(revision.as_ref(), digest)?, &want, &of_worker)
            }));
            let mut is_taken_back = false;
            let made = tokio::select! {
                made = &mut making => made,
                () = worker.taken_back() => {
                    is_taken_back = true;
                    job.interrupt();
                    making.await
                }
                () = errand.withdrawn.cancelled() => {
                    job.interrupt();
                    making.await
                }
            };
            drop(worker);
            let is_interrupted = matches!(&made, Err(Failure { obstacle: Obstacle::Interrupted, .. }));
            // Who only had to make way is not charged for it.
            if errand.is_budgeted() && !(is_taken_back && is_interrupted) {
                self.budget.charge(&owner, job.cpu(), Instant::now());
            }
            if self.stopping.is_cancelled() {
                return None;
            }
            match is_interrupted {
                true if errand.withdrawn.is_cancelled() => return None,
                true => {}
                false => return Some(made),
            }
        }
    }

    fn check_budget(&self, errand: &Errand, owner: &str) -> Result<(), Failure> {
        if !errand.is_budgeted() {
            return Ok(());
        }
        self.budget.check(owner, Instant::now()).map_err(|wait| {
            let reason = format!(
                "the compile budget of {owner} is used up: what an owner pushes may take {} of CPU time an hour (compile.budget); it is compiled by itself at {}, or have the operator raise the budget and push it again",
                format_duration(self.budget.per_hour()),
                self.clock.now().after(wait)
            );
            Failure { stage: Stage::Compile, reason, obstacle: Obstacle::For(wait) }
        })
    }

    async fn try_and_keep(
        self: &Arc<Self>,
        errand: &Errand,
        at_hand: Option<Arc<Revision>>,
        loaded: Arc<Loaded>,
    ) -> Option<Result<Arc<Loaded>, Failure>> {
        let is_to_be_tried = errand.is_to_be_tried();
        let owner = errand.owner();
        let turn = async {
            match is_to_be_tried {
                true => Some(self.trials.acquire(&owner, 1).await),
                false => None,
            }
        };
        let _turn = tokio::select! {
            turn = turn => turn,
            () = errand.withdrawn.cancelled() => return None,
        };
        if is_to_be_tried {
            let mut turn = lock(&self.turn);
            if let Some(entry) = turn.entries.get_mut(&errand.key) {
                self.tell(entry, &errand.key, News::compiling(errand.digest, Stage::Smoke, &errand.manifest));
            }
            self.publish(&mut turn);
        }
        let (digest, kept) = (errand.digest, errand.is_proven());
        let tried = self.blocking(move |plugins| {
            if !kept {
                let revision = plugins.revision(at_hand.as_ref(), digest)?;
                if is_to_be_tried {
                    plugins.smoke(&revision, &loaded)?;
                }
                plugins.keep_revision(&revision)?;
            }
            Ok(loaded)
        });
        Some(tried.await)
    }

    /// Keeps a revision that is to serve.
    pub(super) fn keep_for(&self, errand: &Errand, revision: &Revision) -> Result<(), Failure> {
        if errand.is_proven() { Ok(()) } else { self.keep_revision(revision) }
    }

    fn keep_revision(&self, revision: &Revision) -> Result<(), Failure> {
        self.keep(revision).map_err(|error| Failure {
            stage: Stage::Swap,
            reason: chain(&error),
            obstacle: Obstacle::Passing,
        })
    }

    fn revision(&self, at_hand: Option<&Arc<Revision>>, digest: Digest) -> Result<Arc<Revision>, Failure> {
        if let Some(revision) = at_hand {
            return Ok(revision.clone());
        }
        self.revisions.load(&digest).map(Arc::new).map_err(|error| Failure {
            stage: Stage::Discover,
            reason: chain(&error),
            obstacle: Obstacle::Bad,
        })
    }

    /// Off the async threads, to its end whoever goes away.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let plugins = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&plugins)).await;
        done.unwrap_or_else(|_| {
            let reason = "the work on it was lost; it is tried again".to_owned();
            Err(Failure { stage: Stage::Compile, reason, obstacle: Obstacle::Passing })
        })
    }
}
