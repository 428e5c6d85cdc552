//! Every statement of the ledger and of the control tables, for the test that prepares them on both databases.
//!
//! A new statement goes into its module's `STATEMENTS`; a typo in SQL fails there and not in production.

use backshift_core::{EffectState, State};

use super::{
    anonymous, beat, claim, deliveries, depth, enqueue, finish, foreign, forsaken, handover, jobs, kinds,
    list, park, rescue, search, strangers, taken, takeover, unique, upkeep,
};
use crate::{Dialect, Sql, breakers, counts, effects, limits, outbox, queues, schedules, sweep, workers};

const FIXED: &[&[Sql]] = &[
    anonymous::STATEMENTS,
    beat::STATEMENTS,
    claim::STATEMENTS,
    deliveries::STATEMENTS,
    depth::STATEMENTS,
    enqueue::STATEMENTS,
    finish::STATEMENTS,
    foreign::STATEMENTS,
    forsaken::STATEMENTS,
    handover::STATEMENTS,
    jobs::STATEMENTS,
    kinds::STATEMENTS,
    park::STATEMENTS,
    rescue::STATEMENTS,
    strangers::STATEMENTS,
    takeover::STATEMENTS,
    taken::STATEMENTS,
    unique::STATEMENTS,
    upkeep::STATEMENTS,
    breakers::STATEMENTS,
    counts::STATEMENTS,
    effects::STATEMENTS,
    limits::STATEMENTS,
    outbox::STATEMENTS,
    queues::STATEMENTS,
    schedules::STATEMENTS,
    sweep::STATEMENTS,
    sweep::deeds::STATEMENTS,
    sweep::told::STATEMENTS,
    sweep::retention::STATEMENTS,
    workers::STATEMENTS,
];

/// The text of every statement that the store may send to such a database.
pub fn statements(dialect: Dialect) -> Vec<String> {
    let fixed = FIXED.iter().flat_map(|list| list.iter()).map(|sql| sql.text(dialect).to_owned());
    let job = jobs::find_text(dialect);
    let mut texts: Vec<String> = fixed.chain([job, list::CURSOR.to_owned()]).collect();
    texts.extend(sweep::texts(dialect));
    for state in State::ALL {
        texts.push(list::text(dialect, Some(state), None));
        texts.push(list::text(dialect, Some(state), Some(EffectState::Ambiguous)));
        texts.extend(search::texts(dialect, state));
    }
    texts
}
