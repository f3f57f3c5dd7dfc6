//! Two files become one policy: corp over user over default, field by field.
//!
//! A field that corp sets is locked. Block lists add up; corp's `[[http]]` rules stand before the user's. Three fields
//! are locked by more than their own presence, because otherwise a user could undo what corp wrote:
//! `private_allow` by corp's `private_addresses`, `mode = "observe"` by any corp file, and (in the evaluator) `splice`
//! by corp's `allow` and by corp's `[[http]]` rules for the same host.

use super::Ignored;
use super::read::{PolicyFile, Typed, TypedList};
use crate::policy::draft::{Draft, Layer, Mode, Source, Sourced};

/// The merged policy, and what of the user's is not in it.
pub(super) struct Merged {
    pub draft: Draft,
    pub ignored: Vec<Ignored>,
}

/// Merges the files that are there.
pub(super) fn merge(user: Option<PolicyFile<'_>>, corp: Option<PolicyFile<'_>>) -> Merged {
    let has_corp = corp.is_some();
    let mut user = user.unwrap_or_default();
    let corp = corp.unwrap_or_default();
    let mut ignored = Vec::new();
    if has_corp && corp.mode.is_none() {
        drop_observe(&mut user.mode, &mut ignored);
    }
    let mut lock = Lock { ignored };
    if let Some(locked) = corp.private_addresses.as_ref().filter(|_| corp.private_allow.is_none()) {
        lock.drop("network.private_allow", &mut user.private_allow, &locked.spot.place());
    }
    let mut draft = Draft::default();
    lock.field("mode", corp.mode, user.mode, &mut draft.mode);
    lock.field("network.default", corp.default, user.default, &mut draft.default);
    lock.field("network.ports", corp.ports, user.ports, &mut draft.ports);
    let private = &mut draft.private_addresses;
    lock.field("network.private_addresses", corp.private_addresses, user.private_addresses, private);
    draft.allow_locked = corp.allow.is_some();
    draft.allow = lock.list("network.allow", corp.allow, user.allow);
    draft.splice = lock.list("network.splice", corp.splice, user.splice);
    draft.private_allow = lock.list("network.private_allow", corp.private_allow, user.private_allow);
    draft.block = [(Layer::Corp, corp.block), (Layer::User, user.block)]
        .into_iter()
        .flat_map(|(layer, list)| sourced_list(list, layer))
        .collect();
    draft.http = corp.http.into_iter().chain(user.http).map(|rule| rule.value).collect();
    Merged { draft, ignored: lock.ignored }
}

/// Keeps account of the user's fields that do not count.
struct Lock {
    ignored: Vec<Ignored>,
}

impl Lock {
    fn field<T>(
        &mut self,
        key: &'static str,
        corp: Option<Typed<'_, T>>,
        mut user: Option<Typed<'_, T>>,
        into: &mut Sourced<T>,
    ) {
        if let Some(corp) = &corp {
            self.drop(key, &mut user, &corp.spot.place());
        }
        let corp = corp.map(|typed| sourced(typed, Layer::Corp));
        if let Some(set) = corp.or(user.map(|typed| sourced(typed, Layer::User))) {
            *into = set;
        }
    }

    fn list<T>(
        &mut self,
        key: &'static str,
        corp: Option<TypedList<'_, T>>,
        mut user: Option<TypedList<'_, T>>,
    ) -> Vec<Sourced<T>> {
        if let Some(corp) = &corp {
            self.drop(key, &mut user, &corp.spot.place());
        }
        match corp {
            Some(_) => sourced_list(corp, Layer::Corp),
            None => sourced_list(user, Layer::User),
        }
    }

    fn drop<T>(&mut self, key: &'static str, user: &mut Option<Typed<'_, T>>, by: &str) {
        if let Some(user) = user.take() {
            self.ignored.push(Ignored { key, place: user.spot.place().to_string(), by: by.to_owned() });
        }
    }
}

/// Observing would undo all that corp's file refuses, so only that file may say it where there is one.
fn drop_observe(mode: &mut Option<Typed<'_, Mode>>, ignored: &mut Vec<Ignored>) {
    if let Some(observe) = mode.take_if(|mode| mode.value == Mode::Observe) {
        let by = "corp's file, which alone may say observe".into();
        ignored.push(Ignored { key: "mode", place: observe.spot.place().to_string(), by });
    }
}

fn sourced<T>(typed: Typed<'_, T>, layer: Layer) -> Sourced<T> {
    Sourced { source: Source { layer, place: Some(typed.spot.place()) }, value: typed.value }
}

fn sourced_list<T>(list: Option<TypedList<'_, T>>, layer: Layer) -> Vec<Sourced<T>> {
    let entries = list.map(|list| list.value).unwrap_or_default();
    entries.into_iter().map(|entry| sourced(entry, layer)).collect()
}
