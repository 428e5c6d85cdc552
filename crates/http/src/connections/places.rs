//! Who has a place: so many in all, so many a network, some kept for probes.
//!
//! Who comes when all places are taken gets that of the connection that was waited for the longest, first of all in
//! the network that holds the most. A connection we work for is never ended; when we work for all of them, the comer
//! gets a place kept for probes or is sent away. The table may lag behind the sockets: they are bounded apart.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Life, Limits};
use crate::client::Network;

/// The table of places.
#[derive(Debug)]
pub(crate) struct Places {
    most: usize,
    share: usize,
    probes: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// By network, so that a crowd is searched through at its own cost.
    networks: HashMap<Network, Vec<Held>>,
    /// Places that are taken, without those for probes; and those.
    taken: usize,
    probing: usize,
}

#[derive(Debug)]
struct Held {
    number: u64,
    life: Arc<Life>,
    kind: Kind,
}

/// What a place is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Anything; counted under its network.
    Open,
    /// Anything, for a proxy: many clients use it, so no share binds it.
    Trusted,
    /// Probes alone.
    Probes,
}

/// What became of a comer.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It has a place.
    In(Place),
    /// We work for everybody who is here.
    Full,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    network: Network,
    number: u64,
    /// Whether only probes are answered here.
    pub(crate) probes_alone: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.table().remove(self.network, self.number);
    }
}

impl Places {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        let share = limits.connections_per_network.min(limits.connections);
        Arc::new(Self { most: limits.connections, share, probes: limits.probes, table: Mutex::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the comer a place, if need be somebody else's.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr, trusted: bool, life: &Arc<Life>) -> Admission {
        let network = Network::of(peer);
        let kind = if trusted { Kind::Trusted } else { Kind::Open };
        let mut table = self.table();
        let room = (trusted || table.room_in(network, self.share)) && table.room_in_all(self.most);
        let kind = match room {
            true => kind,
            false if table.room_for_probes(network, self.probes) => Kind::Probes,
            false => return Admission::Full,
        };
        let number = table.insert(network, Arc::clone(life), kind);
        let probes_alone = kind == Kind::Probes;
        Admission::In(Place { places: Arc::clone(self), network, number, probes_alone })
    }

    /// Ends the connection that was waited for the longest, whoever holds it: the process has no descriptor left.
    pub(crate) fn make_room(&self) -> bool {
        self.table().send_away(|_, _| true)
    }
}

impl Table {
    fn insert(&mut self, network: Network, life: Arc<Life>, kind: Kind) -> u64 {
        self.next += 1;
        *self.counter(kind) += 1;
        self.networks.entry(network).or_default().push(Held { number: self.next, life, kind });
        self.next
    }

    fn remove(&mut self, network: Network, number: u64) -> Option<Held> {
        let members = self.networks.get_mut(&network)?;
        let index = members.iter().position(|held| held.number == number)?;
        let held = members.swap_remove(index);
        if members.is_empty() {
            self.networks.remove(&network);
        }
        *self.counter(held.kind) -= 1;
        Some(held)
    }

    fn counter(&mut self, kind: Kind) -> &mut usize {
        if kind == Kind::Probes { &mut self.probing } else { &mut self.taken }
    }

    fn count_in(&self, network: Network, kind: Kind) -> usize {
        self.networks
            .get(&network)
            .map_or(0, |members| members.iter().filter(|held| held.kind == kind).count())
    }

    /// Whether this network's share has room, or got some.
    fn room_in(&mut self, network: Network, share: usize) -> bool {
        self.count_in(network, Kind::Open) < share || self.send_away_of(network, Kind::Open)
    }

    /// Whether there is room at all, or there is now.
    fn room_in_all(&mut self, most: usize) -> bool {
        self.taken < most || self.send_away_of_the_largest() || self.send_away(|_, kind| kind != Kind::Probes)
    }

    /// Networks of equal size are one crowd: the longest wait decides among them.
    fn send_away_of_the_largest(&mut self) -> bool {
        let size = |members: &Vec<Held>| members.iter().filter(|held| held.kind == Kind::Open).count();
        let largest = self.networks.values().map(size).max().unwrap_or_default();
        let crowd: HashSet<Network> = self
            .networks
            .iter()
            .filter(|(_, members)| size(members) == largest)
            .map(|(net, _)| *net)
            .collect();
        self.send_away(|network, kind| kind == Kind::Open && crowd.contains(&network))
            || self.send_away(|_, kind| kind == Kind::Open)
    }

    /// Whether a place kept for probes is free, or is now. One network holds at most a quarter of them.
    fn room_for_probes(&mut self, network: Network, most: usize) -> bool {
        (self.count_in(network, Kind::Probes) < most.div_ceil(4) || self.send_away_of(network, Kind::Probes))
            && (self.probing < most || self.send_away(|_, kind| kind == Kind::Probes))
    }

    fn send_away_of(&mut self, network: Network, kind: Kind) -> bool {
        let members = self.networks.get(&network).map(Vec::as_slice).unwrap_or_default();
        let longest = longest(members.iter().filter(|held| held.kind == kind).map(|held| (network, held)));
        self.end(longest)
    }

    /// Ends, of these, the connection that was waited for the longest.
    fn send_away(&mut self, which: impl Fn(Network, Kind) -> bool) -> bool {
        let all =
            self.networks.iter().flat_map(|(network, members)| members.iter().map(|held| (*network, held)));
        let longest = longest(all.filter(|(network, held)| which(*network, held.kind)));
        self.end(longest)
    }

    fn end(&mut self, victim: Option<(Network, u64)>) -> bool {
        let Some((network, number)) = victim else { return false };
        if let Some(held) = self.remove(network, number) {
            tracing::debug!(%network, "a connection that was waited for makes room");
            held.life.end();
        }
        true
    }
}

/// Of these, the one that was waited for the longest.
fn longest<'a>(those: impl Iterator<Item = (Network, &'a Held)>) -> Option<(Network, u64)> {
    let waiting =
        those.filter_map(|(network, held)| Some((held.life.waiting_since()?, held.number, network)));
    waiting.min_by_key(|(since, number, _)| (*since, *number)).map(|(_, number, network)| (network, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connections::life::Turn;

    fn places(connections: usize, share: usize, probes: usize) -> Arc<Places> {
        let limits = Limits { connections, connections_per_network: share, probes, ..Limits::default() };
        Places::new(&limits)
    }

    struct Guest {
        life: Arc<Life>,
        place: Option<Place>,
    }

    impl Guest {
        fn comes(places: &Arc<Places>, ip: &str) -> Self {
            let life = Life::begin();
            let place = match places.admit(ip.parse().unwrap(), ip.starts_with("10."), &life) {
                Admission::In(place) => Some(place),
                Admission::Full => None,
            };
            Self { life, place }
        }

        fn is_in(&self) -> bool {
            self.place.as_ref().is_some_and(|place| !place.probes_alone)
        }

        fn was_ended(&self) -> bool {
            self.life.waiting_since().is_none()
        }
    }

    #[test]
    fn a_network_beyond_its_share_sends_its_own_away() {
        let places = places(10, 2, 0);
        let honest = Guest::comes(&places, "198.51.100.1");
        let crowd: Vec<Guest> = (0..9).map(|n| Guest::comes(&places, &format!("192.0.2.{n}"))).collect();
        assert!(honest.is_in() && !honest.was_ended());
        let ended: Vec<bool> = crowd.iter().map(Guest::was_ended).collect();
        assert_eq!(
            ended,
            [true, true, true, true, true, true, true, false, false],
            "the longest wait goes first"
        );
        assert!(crowd.iter().all(Guest::is_in));
    }

    #[test]
    fn when_all_is_taken_the_largest_network_makes_room() {
        let places = places(6, 4, 0);
        let honest = Guest::comes(&places, "198.51.100.1");
        let crowd: Vec<Guest> = (0..4).map(|n| Guest::comes(&places, &format!("192.0.2.{n}"))).collect();
        let others: Vec<Guest> = (0..20).map(|n| Guest::comes(&places, &format!("203.0.{n}.1"))).collect();
        assert!(crowd[0].was_ended() && crowd[1].was_ended());
        assert!(others.last().is_some_and(Guest::is_in));
        // With one connection each nobody is a crowd: the longest wait goes, and that may be anybody's.
        assert!(honest.is_in());
    }

    #[test]
    fn whom_we_work_for_is_never_sent_away_and_probes_have_places_of_their_own() {
        let places = places(2, 2, 4);
        let busy: Vec<(Guest, Turn)> = ["192.0.2.1", "192.0.2.2"]
            .map(|ip| Guest::comes(&places, ip))
            .into_iter()
            .map(|guest| {
                let turn = Turn::begin(&guest.life, false);
                (guest, turn)
            })
            .collect();
        let other = Guest::comes(&places, "198.51.100.1");
        assert!(!other.is_in() && other.place.as_ref().is_some_and(|place| place.probes_alone));
        let again = Guest::comes(&places, "198.51.100.2");
        assert!(
            again.place.is_some() && other.was_ended(),
            "one network holds a quarter of the probes' places"
        );
        drop(busy);
        assert!(Guest::comes(&places, "198.51.100.3").is_in());
    }

    #[test]
    fn nobody_is_sent_away_for_a_full_house_at_work() {
        let places = places(1, 1, 0);
        let first = Guest::comes(&places, "192.0.2.1");
        let _turn = Turn::begin(&first.life, false);
        let second = Guest::comes(&places, "198.51.100.1");
        assert!(second.place.is_none() && first.is_in());
    }

    #[test]
    fn a_trusted_proxy_has_no_share_and_goes_last() {
        let places = places(4, 1, 0);
        let proxy: Vec<Guest> = (0..3).map(|_| Guest::comes(&places, "10.0.0.1")).collect();
        let direct: Vec<Guest> = (0..5).map(|n| Guest::comes(&places, &format!("203.0.{n}.1"))).collect();
        assert!(proxy.iter().all(|guest| guest.is_in() && !guest.was_ended()));
        assert!(direct[3].was_ended() && direct[4].is_in());
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_is_over() {
        let places = places(1, 1, 0);
        for _ in 0..3 {
            let guest = Guest::comes(&places, "192.0.2.1");
            let _turn = Turn::begin(&guest.life, false);
            assert!(guest.is_in());
        }
        assert!(places.table().networks.is_empty() && places.table().taken == 0);
    }

    #[test]
    fn without_descriptors_the_longest_wait_goes() {
        let places = places(5, 5, 0);
        assert!(!places.make_room());
        let guests = ["192.0.2.1", "192.0.2.2"].map(|ip| Guest::comes(&places, ip));
        assert!(places.make_room());
        assert!(guests[0].was_ended() && !guests[1].was_ended());
    }
}
