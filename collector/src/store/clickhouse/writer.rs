//! Batches, many in one group, each exactly once.
//!
//! ClickHouse has no transactions over tables: a group is several inserts. What makes them one is this order:
//!
//! 1. claim the batches, and look: if one came before, or another collector has claimed it too, withdraw, and begin again
//!    without it;
//! 2. write the group to the journal, on this machine's disk;
//! 3. insert its rows, each table's with the group as their token: now it may be acknowledged;
//! 4. say that the group is written, and forget it in the journal, while the next one is claimed.
//!
//! A crash before 2 leaves a claim of which the journal knows nothing: it is withdrawn at the next start. After it the
//! group is in the journal, and 3 and 4 are done again: what is in already is known by its token and stays as it is, and what
//! is known without being in is inserted anew.
//! What is told meanwhile of a group that waits for 4: this collector knows that it is in, another one waits a little.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use clickhouse::Client;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::claims::{self, Claim};
use super::connection::{insert, insert_each};
use super::costliest::{self, CostlyRow};
use super::deploys;
use super::fold::CELLS;
use super::group_rows::Rows;
use super::journal::{Group, Journal};
use super::missing::insert_missing;
use super::requests::{self, RequestRow, RequestRows};
use super::schema::REMEMBERED_BLOCKS;
use super::seen::Seen;
use crate::Clock;
use crate::off_the_runtime::off_the_runtime;
use crate::store::span::span;
use crate::store::{NewBatch, PutOutcome, StoreError, all_failed};

/// Blocks that one group may add to a table: a block for each month or day. More come only from spools that
/// are drained very late.
const BLOCKS_OF_A_GROUP: u64 = 10;

/// Deploys of which it is remembered that another record of them changes nothing.
const MOST_SETTLED: usize = 10_000;

/// How often it is looked again whether another collector has finished with a batch, and how long after.
const LOOKS: usize = 4;
const NEXT_LOOK: Duration = Duration::from_millis(50);

/// Writes groups, one after the other.
pub(super) struct Writer {
    client: Client,
    pub(super) journal: Arc<Journal>,
    /// Groups in the journal that are not written, oldest first.
    unfinished: Vec<Arc<Group>>,
    /// The one of them that nothing was written of before.
    fresh: Option<Uuid>,
    /// The group all of whose rows are in, but of which it may not have been said.
    untold: Option<Untold>,
    /// Groups that were claimed and will not be written, but have not been withdrawn.
    unclaimed: Vec<Uuid>,
    /// What is known of services and endpoints, so that it is not written with each group.
    seen: Seen,
    /// From which start on a record of a service's deploy makes no difference to its roll-outs.
    settled: HashMap<(String, String), u64>,
    newest_us: u64,
}

impl Writer {
    /// Takes up what the journal says was being written.
    pub(super) async fn open(client: Client, journal: Journal) -> Result<Self, StoreError> {
        let unfinished = journal.unfinished()?;
        let mut writer = Self {
            newest_us: (unfinished.iter().map(|group| group.made_us).max()).unwrap_or(0),
            client,
            journal: Arc::new(journal),
            unfinished: unfinished.into_iter().map(Arc::new).collect(),
            fresh: None,
            untold: None,
            unclaimed: Vec::new(),
            seen: Seen::default(),
            settled: HashMap::new(),
        };
        if !writer.unfinished.is_empty() {
            tracing::info!(
                groups = writer.unfinished.len(),
                "writing again what was being written when the collector ended"
            );
        }
        writer.finish().await?;
        writer.tell().await?;
        let collector = writer.journal.collector;
        writer.unclaimed = claims::open_groups(&writer.client, collector).await?;
        writer.withdraw().await?;
        Ok(writer)
    }

    /// Something was forgotten of which a record makes a difference again.
    pub(super) fn forget_what_is_known(&mut self) {
        self.settled.clear();
        self.seen = Seen::default();
    }

    /// Keeps each batch once.
    pub(super) async fn put(
        &mut self,
        batches: Vec<NewBatch>,
    ) -> Vec<Result<PutOutcome, StoreError>> {
        let count = batches.len();
        match self.put_all(batches).await {
            Ok(outcomes) => outcomes,
            Err(error) => all_failed(count, error),
        }
    }

    async fn put_all(
        &mut self,
        batches: Vec<NewBatch>,
    ) -> Result<Vec<Result<PutOutcome, StoreError>>, StoreError> {
        self.finish().await?;
        self.withdraw().await?;
        let ids: Vec<(Uuid, [u8; 32])> = batches.iter().map(|new| (new.uuid, new.digest)).collect();
        let mut named: HashSet<Uuid> = HashSet::new();
        let mut fresh = batches;
        fresh.retain(|new| named.insert(new.uuid));
        let mut known: HashMap<Uuid, Claim> = HashMap::new();
        while !fresh.is_empty() {
            let group = Arc::new(self.group_of(fresh));
            let others = self.claim(&group).await?;
            if others.is_empty() {
                self.write(group).await?;
                break;
            }
            fresh = Arc::unwrap_or_clone(group).batches;
            fresh.retain(|new| !others.contains_key(&new.uuid));
            known.extend(others);
        }
        self.wait_for_others(&mut known).await?;
        // The first of several alike is the one that was stored.
        let mut first: HashMap<Uuid, [u8; 32]> = HashMap::new();
        let outcomes = ids.into_iter().map(|(id, digest)| {
            let before = match known.get(&id) {
                Some(Claim::Open { collector, .. }) => {
                    return Err(StoreError::Elsewhere {
                        collector: *collector,
                    });
                }
                Some(Claim::Written { digest }) => Some(*digest),
                None => first.get(&id).copied(),
            };
            Ok(match before {
                None => {
                    first.insert(id, digest);
                    PutOutcome::Stored
                }
                Some(before) if before == digest => PutOutcome::Duplicate,
                Some(_) => PutOutcome::Conflict,
            })
        });
        Ok(outcomes.collect())
    }

    /// Waits a little for what another collector claims: it may be about to say that it is in.
    async fn wait_for_others(&self, known: &mut HashMap<Uuid, Claim>) -> Result<(), StoreError> {
        for _ in 0..LOOKS {
            let open = known.iter().filter_map(|(id, claim)| match claim {
                Claim::Open { .. } => Some(*id),
                Claim::Written { .. } => None,
            });
            let open: Vec<Uuid> = open.collect();
            if open.is_empty() {
                break;
            }
            tokio::time::sleep(NEXT_LOOK).await;
            // What was withdrawn meanwhile stays open: whoever sends it again will find it so.
            known.extend(self.look(open.into_iter(), None).await?);
        }
        Ok(())
    }

    /// What is known of batches, but for what the group `but` claims.
    async fn look(
        &self,
        uuids: impl Iterator<Item = Uuid>,
        but: Option<Uuid>,
    ) -> Result<HashMap<Uuid, Claim>, StoreError> {
        let uuids: Vec<Uuid> = uuids.collect();
        let untold = self.untold.as_ref().map(|untold| untold.group.id);
        loop {
            let known = claims::look(&self.client, &uuids, but, untold).await?;
            // This writes one group at a time: another that is its own was claimed by the process before, whose insert
            // was still on its way when it died and this one began. The journal does not know it: nothing of it is in.
            let own = self.journal.collector;
            let late = known.values().filter_map(|claim| match claim {
                Claim::Open { collector, group } if *collector == own => Some(*group),
                _ => None,
            });
            let late: HashSet<Uuid> = late.collect();
            if late.is_empty() {
                return Ok(known);
            }
            claims::withdraw(
                &self.client,
                own,
                &Vec::from_iter(late),
                Clock::system().now_us(),
            )
            .await?;
        }
    }

    fn group_of(&mut self, batches: Vec<NewBatch>) -> Group {
        // Later than the one before, also if the clock was set back: records are told apart by it.
        self.newest_us = Clock::system().now_us().max(self.newest_us + 1);
        Group {
            id: Uuid::new_v4(),
            made_us: self.newest_us,
            batches,
            marked: true,
        }
    }

    /// Claims the batches of a group, and gets it ready for the journal meanwhile. If some of them came before, or others have
    /// claimed them, the group is withdrawn, and those are returned.
    async fn claim(&mut self, group: &Arc<Group>) -> Result<HashMap<Uuid, Claim>, StoreError> {
        // Until the journal has it: whatever happens meanwhile, the claim is not left behind.
        self.unclaimed.push(group.id);
        let claim = async {
            claims::claim(&self.client, self.journal.collector, group).await?;
            let uuids = group.batches.iter().map(|new| new.uuid);
            self.look(uuids, Some(group.id)).await
        };
        let (journal, ready) = (Arc::clone(&self.journal), Arc::clone(group));
        let prepare = off_the_runtime(move || journal.prepare(&ready));
        let (others, prepared) = tokio::join!(claim, prepare);
        let others = others?;
        prepared.flatten()?;
        if !others.is_empty() {
            self.withdraw().await?;
        }
        Ok(others)
    }

    /// Writes a group whose batches are claimed.
    async fn write(&mut self, group: Arc<Group>) -> Result<(), StoreError> {
        // No more than one is untold: what the journal holds stays little.
        self.tell().await?;
        let (journal, id) = (Arc::clone(&self.journal), group.id);
        off_the_runtime(move || journal.keep(id)).await.flatten()?;
        self.unclaimed.retain(|unclaimed| *unclaimed != id);
        self.fresh = Some(id);
        self.unfinished.push(group);
        self.finish().await
    }

    /// Writes what is in the journal.
    async fn finish(&mut self) -> Result<(), StoreError> {
        while let Some(group) = self.unfinished.first().map(Arc::clone) {
            self.tell().await?;
            let is_fresh = self.fresh.take() == Some(group.id);
            if is_fresh || self.is_open(&group).await? {
                self.insert_all(&group).await?;
                if !is_fresh {
                    insert_missing(&self.client, self.journal.collector, &group).await?;
                }
            }
            self.unfinished.remove(0);
            self.begin_to_tell(Told::of(&group));
        }
        Ok(())
    }

    /// Says that a group is written, and forgets it in the journal, while other things are done.
    fn begin_to_tell(&mut self, group: Told) {
        let (client, journal) = (self.client.clone(), Arc::clone(&self.journal));
        let telling = tokio::spawn(tell(client, journal, group));
        self.untold = Some(Untold {
            group,
            telling: Some(telling),
        });
    }

    /// Returns when of every group of which all is in it has been said.
    pub(super) async fn tell(&mut self) -> Result<(), StoreError> {
        let Some(untold) = &mut self.untold else {
            return Ok(());
        };
        let told = match untold.telling.take() {
            Some(telling) => matches!(telling.await, Ok(Ok(()))),
            None => false,
        };
        if !told {
            let (client, journal) = (self.client.clone(), Arc::clone(&self.journal));
            tell(client, journal, untold.group).await?;
        }
        self.untold = None;
        Ok(())
    }

    /// Whether a group that was begun before is still to be written: not if all of it is in, or if it was given up.
    async fn is_open(&self, group: &Group) -> Result<bool, StoreError> {
        if claims::is_settled(&self.client, group.id).await? {
            return Ok(false);
        }
        // Else what is in of it can no longer be known by its token.
        let groups = claims::written_since(&self.client, group.made_us).await?;
        if groups > REMEMBERED_BLOCKS / BLOCKS_OF_A_GROUP {
            return Err(StoreError::JournalTooOld { groups });
        }
        Ok(true)
    }

    async fn withdraw(&mut self) -> Result<(), StoreError> {
        if self.unclaimed.is_empty() {
            return Ok(());
        }
        let now_us = Clock::system().now_us();
        let collector = self.journal.collector;
        claims::withdraw(&self.client, collector, &self.unclaimed, now_us).await?;
        let (journal, withdrawn) = (
            Arc::clone(&self.journal),
            std::mem::take(&mut self.unclaimed),
        );
        off_the_runtime(move || withdrawn.into_iter().try_for_each(|id| journal.discard(id)))
            .await
            .flatten()
    }

    /// All rows of a group. Done again it changes nothing.
    async fn insert_all(&mut self, group: &Arc<Group>) -> Result<(), StoreError> {
        let token = group.id.to_string();
        let token = Some(token.as_str());
        let client = &self.client;
        let of = Arc::clone(group);
        let collector = self.journal.collector;
        let rows = off_the_runtime(move || Rows::of(&of, collector)).await?;
        let requests = requests::of_group(group);
        let costliest = costliest::rows(requests.clone());
        let requests = RequestRows::of(requests);
        let new = self.seen.new_in(group);
        let (services, endpoints) = (new.services(), new.endpoints());
        tokio::try_join!(
            insert(client, CELLS, token, rows.cells),
            insert_each::<RequestRow<'_>>(client, "requests", token, requests),
            insert_each::<CostlyRow<'_>>(client, "costliest", token, costliest),
            insert(client, "processes", token, rows.processes),
            insert(client, "profiles", token, rows.profiles),
            insert(client, "profile_nodes", token, rows.profile_nodes),
            insert(client, "endpoints", None, endpoints),
            insert(client, "services", None, services),
        )?;
        self.seen.add(new);
        self.see_deploys(group).await
    }

    /// The deploys that a group tells of.
    async fn see_deploys(&mut self, group: &Group) -> Result<(), StoreError> {
        for new in &group.batches {
            let Some((first_us, _)) = span(new) else {
                continue;
            };
            let origin = &new.batch.origin;
            // A clock that is ahead must not put a roll-out behind all those to come.
            let began_us = first_us.min(new.received_us);
            let of = (origin.service.clone(), origin.deploy.clone());
            if self
                .settled
                .get(&of)
                .is_none_or(|settled| began_us < *settled)
            {
                let settled = deploys::see(&self.client, &of.0, &of.1, began_us).await?;
                if self.settled.len() >= MOST_SETTLED {
                    self.settled.clear();
                }
                self.settled.insert(of, settled);
            }
        }
        Ok(())
    }
}

/// A group all of whose rows are in.
struct Untold {
    group: Told,
    /// Which is saying so.
    telling: Option<JoinHandle<Result<(), StoreError>>>,
}

/// What there is to say of a group.
#[derive(Clone, Copy)]
struct Told {
    id: Uuid,
    made_us: u64,
}

impl Told {
    fn of(group: &Group) -> Self {
        Self {
            id: group.id,
            made_us: group.made_us,
        }
    }
}

async fn tell(client: Client, journal: Arc<Journal>, group: Told) -> Result<(), StoreError> {
    claims::written(&client, journal.collector, group.id, group.made_us).await?;
    off_the_runtime(move || journal.forget(group.id))
        .await
        .flatten()
}

#[cfg(test)]
impl Writer {
    /// Ends between the journal and the first row, as a crash there does.
    pub(super) async fn leave_half_written(&mut self, batches: Vec<NewBatch>) -> Arc<Group> {
        let group = Arc::new(self.group_of(batches));
        assert!(self.claim(&group).await.unwrap().is_empty());
        self.journal.keep(group.id).unwrap();
        group
    }

    /// Inserts the rows of a group and does nothing else.
    pub(super) async fn insert_rows(&mut self, group: &Arc<Group>) {
        self.insert_all(group).await.unwrap();
    }
}
