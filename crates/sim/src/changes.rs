//! What was edited in a directory since it was made, and the log of it that delta queries read.

use std::collections::{BTreeSet, HashMap};

use crate::{Directory, groups};

/// A kind of object that delta queries follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    User,
    Group,
    Application,
    Principal,
    Device,
    Role,
}

/// What an edit did to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// It came or went.
    Existence,
    /// One of these properties is another now.
    Properties(&'static [&'static str]),
    /// A user came into a relation of it or left.
    Link(&'static str, usize),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Edit {
    pub(crate) class: Class,
    pub(crate) index: usize,
    pub(crate) what: What,
}

/// Edits of a directory. Only they are kept: the objects themselves are computed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    /// In order; the length is the sequence number that a delta link carries.
    pub(crate) log: Vec<Edit>,
    pub(crate) removed_users: usize,
    pub(crate) added_users: usize,
    pub(crate) renamed: HashMap<usize, String>,
    /// Every how many users were changed, once per edit.
    every: Vec<usize>,
    pub(crate) renamed_groups: HashMap<usize, String>,
    pub(crate) removed_groups: BTreeSet<usize>,
    pub(crate) renamed_devices: HashMap<usize, String>,
    /// By group: users that were put into it, in order.
    pub(crate) added_members: HashMap<usize, Vec<usize>>,
    removed_members: HashMap<usize, BTreeSet<usize>>,
    /// Users who registered a method since, newest last.
    pub(crate) registered: Vec<usize>,
    registered_at: HashMap<usize, i64>,
}

impl Changes {
    pub(crate) fn note(&mut self, class: Class, index: usize, what: What) {
        self.log.push(Edit { class, index, what });
    }

    /// Users' indexes run below this; some may be gone.
    pub(crate) fn users_end(&self, d: &Directory) -> usize {
        d.users + self.added_users
    }

    /// The administrator stays; leavers are the users after them.
    pub(crate) fn has_user(&self, d: &Directory, index: usize) -> bool {
        (index == 0 || index > self.removed_users) && index < self.users_end(d)
    }

    pub(crate) fn has_group(&self, d: &Directory, index: usize) -> bool {
        index < d.groups && !self.removed_groups.contains(&index)
    }

    /// How often a user was changed by [`Self::change_users`].
    pub(crate) fn revision(&self, user: usize) -> usize {
        self.every.iter().filter(|n| user % **n == **n - 1).count()
    }

    /// When a user last registered a method, if since the directory was made.
    pub(crate) fn registered_at(&self, user: usize) -> Option<i64> {
        self.registered_at.get(&user).copied()
    }

    pub(crate) fn is_member(&self, d: &Directory, group: usize, user: usize) -> bool {
        let born = groups::is_first_member(d, group, user)
            && self
                .removed_members
                .get(&group)
                .is_none_or(|gone| !gone.contains(&user));
        let added = || {
            self.added_members
                .get(&group)
                .is_some_and(|all| all.contains(&user))
        };
        self.has_user(d, user) && (born || added())
    }

    pub(crate) fn remove_users(&mut self, d: &Directory, count: usize) {
        let before = std::mem::replace(&mut self.removed_users, count);
        let last = self.users_end(d).saturating_sub(1);
        // A smaller number lets some come back.
        let (from, to) = (before.min(count), before.max(count).min(last));
        for user in from + 1..=to {
            self.note(Class::User, user, What::Existence);
        }
        let concerned = |user: usize| user > from && user <= to;
        for group in 0..d.groups {
            let mut links = Vec::new();
            let members = (0..groups::member_count(d, group))
                .map(|k| groups::first_member(d, group, k))
                .chain(
                    self.added_members
                        .get(&group)
                        .into_iter()
                        .flatten()
                        .copied(),
                );
            links.extend(members.map(|user| ("members", user)));
            links.extend(groups::first_owners(d, group).map(|user| ("owners", user)));
            for (relation, user) in links.into_iter().filter(|(_, user)| concerned(*user)) {
                self.note(Class::Group, group, What::Link(relation, user));
            }
        }
    }

    pub(crate) fn add_users(&mut self, d: &Directory, count: usize) {
        let from = self.users_end(d);
        self.added_users += count;
        for user in from..from + count {
            self.note(Class::User, user, What::Existence);
        }
    }

    pub(crate) fn rename_user(&mut self, index: usize, name: &str) {
        self.renamed.insert(index, name.to_owned());
        self.note(Class::User, index, What::Properties(&["displayName"]));
    }

    pub(crate) fn change_users(&mut self, d: &Directory, every: usize) -> usize {
        let every = every.max(1);
        self.every.push(every);
        let before = self.log.len();
        for user in (every - 1..self.users_end(d)).step_by(every) {
            if self.has_user(d, user) {
                let what = What::Properties(&["displayName", "jobTitle"]);
                self.note(Class::User, user, what);
            }
        }
        self.log.len() - before
    }

    pub(crate) fn rename_group(&mut self, index: usize, name: &str) {
        self.renamed_groups.insert(index, name.to_owned());
        self.note(Class::Group, index, What::Properties(&["displayName"]));
    }

    pub(crate) fn remove_group(&mut self, index: usize) {
        self.removed_groups.insert(index);
        self.note(Class::Group, index, What::Existence);
    }

    pub(crate) fn add_member(&mut self, d: &Directory, group: usize, user: usize) {
        if let Some(gone) = self.removed_members.get_mut(&group) {
            gone.remove(&user);
        }
        if !self.is_member(d, group, user) {
            self.added_members.entry(group).or_default().push(user);
        }
        self.note(Class::Group, group, What::Link("members", user));
    }

    pub(crate) fn remove_member(&mut self, d: &Directory, group: usize, user: usize) {
        if let Some(added) = self.added_members.get_mut(&group) {
            added.retain(|u| *u != user);
        }
        if groups::is_first_member(d, group, user) {
            self.removed_members.entry(group).or_default().insert(user);
        }
        self.note(Class::Group, group, What::Link("members", user));
    }

    pub(crate) fn rename_device(&mut self, index: usize, name: &str) {
        self.renamed_devices.insert(index, name.to_owned());
        self.note(Class::Device, index, What::Properties(&["displayName"]));
    }

    pub(crate) fn register_mfa(&mut self, user: usize, at: i64) {
        if self.registered_at.insert(user, at).is_some() {
            self.registered.retain(|who| *who != user);
        }
        self.registered.push(user);
    }
}
