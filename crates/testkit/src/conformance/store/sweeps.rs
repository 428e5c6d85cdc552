//! Chapter *sweeps*: what a person does to a job, a queue, or all jobs that match.
//!
//! Every case names words of its own: equal words within the hour are one sweep.

use backshift_core::{
    Deed, Hand, JobFilter, State, StoreError, Sweep,
    sweep::{BATCH, Matching, Swept, Upon},
};

use super::scene::{Scene, request};
use crate::conformance::case::{Failure, Outcome, Verdict, cases, ensure};

cases! { Scene:
    s150_all_that_match_are_changed_and_no_other,
    s151_a_sweep_goes_on_where_it_stopped,
    s152_what_changed_meanwhile_is_left_alone,
    s153_only_what_is_over_is_deleted,
    s154_a_sweep_without_a_fitting_state_is_refused,
    s155_every_hand_is_in_the_life_of_its_job,
    s156_the_dead_are_told_by_cause,
    s157_a_single_hand_is_written_down_when_it_changed_something,
    s158_all_hands_are_told_newest_first_and_a_sweep_once,
    s159_a_sweep_is_found_with_its_wish,
    s160_the_last_hand_on_each_of_several_jobs_is_told,
}

fn sweep(scene: &Scene, deed: Deed, state: State) -> Sweep {
    let filter = JobFilter { state: Some(state), queue: Some(scene.queue.clone()), ..JobFilter::default() };
    let hand = Hand { who: "ann@here".into(), why: Some("it is mended".into()) };
    Sweep {
        deed,
        filter,
        words: format!("{} {}", scene.queue, state.as_str()),
        hand,
        expected: Matching::default(),
    }
}

async fn whole(scene: &Scene, sweep: &Sweep) -> Result<Swept, Failure> {
    let mut swept = scene.store.begin_sweep(sweep).await?;
    while !swept.done {
        swept = scene.store.sweep(swept.id, &sweep.hand).await?;
    }
    Ok(swept)
}

async fn s150_all_that_match_are_changed_and_no_other(scene: Scene) -> Verdict {
    let (mut mail, dead, done) = (scene.envelope("mail"), scene.envelope("dead"), scene.envelope("done"));
    mail.kind = backshift_core::Kind::new("email.send")?;
    scene.bury(&mail).await?;
    scene.bury(&dead).await?;
    scene.complete(&done).await?;
    let mut wish = sweep(&scene, Deed::Retry, State::Dead);
    wish.filter.kind = Some(mail.kind.clone());
    let matching = scene.store.matching(&wish.filter).await?;
    ensure!((matching.jobs, matching.more) == (1, false), "one job matches: {matching:?}");
    let swept = whole(&scene, &wish).await?;
    ensure!((swept.found, swept.changed) == (1, 1), "one job is changed: {swept:?}");
    ensure!(scene.row(mail.id).await?.state == State::Available, "the job that matches runs again");
    ensure!(scene.row(mail.id).await?.attempt == 1, "with fresh attempts");
    ensure!(scene.row(dead.id).await?.state == State::Dead, "another kind was touched");
    ensure!(scene.row(done.id).await?.state == State::Completed, "another state was touched");
    let relayed = scene.store.take_unpublished(super::scene::BROKER, 10, scene.lease).await?;
    ensure!(
        relayed.iter().any(|envelope| envelope.id == mail.id),
        "the relay does not get the job of a foreign broker"
    );
    Ok(Outcome::Pass)
}

async fn s151_a_sweep_goes_on_where_it_stopped(scene: Scene) -> Verdict {
    let many = BATCH + 20;
    let batch: Vec<_> = (0..many).map(|n| request(&scene.envelope(n.to_string()))).collect();
    scene.store.claim(&scene.patient(), batch).await?;
    let wish = sweep(&scene, Deed::Cancel, State::Running);
    let begun = scene.store.begin_sweep(&wish).await?;
    let first = scene.store.sweep(begun.id, &wish.hand).await?;
    ensure!(first.found == u64::from(BATCH) && !first.done, "a batch is bounded: {first:?}");
    scene.start(&scene.envelope("arrives meanwhile")).await?;
    let again = scene.store.begin_sweep(&wish).await?;
    ensure!(again.id == begun.id && again.found == first.found, "equal words go on: {again:?}");
    let end = whole(&scene, &wish).await?;
    ensure!(end.found == u64::from(many), "every job once, and none that came later: {end:?}");
    let ended = scene.store.sweep(begun.id, &wish.hand).await?;
    ensure!(ended.done && ended.found == end.found, "a sweep that ended does no more: {ended:?}");
    ensure!(scene.store.begin_sweep(&wish).await?.id != begun.id, "a sweep that ended is begun anew");
    Ok(Outcome::Pass)
}

async fn s152_what_changed_meanwhile_is_left_alone(scene: Scene) -> Verdict {
    let (one, two) = (scene.envelope("one"), scene.envelope("two"));
    scene.bury(&one).await?;
    scene.bury(&two).await?;
    let wish = sweep(&scene, Deed::Delete, State::Dead);
    let begun = scene.store.begin_sweep(&wish).await?;
    scene.store.retry(one.id).await?;
    let swept = scene.store.sweep(begun.id, &wish.hand).await?;
    ensure!(scene.store.find(one.id).await?.is_some(), "a job that runs again was deleted: {swept:?}");
    ensure!(scene.store.hands(one.id).await?.is_empty(), "what was not done was written down");
    Ok(Outcome::Pass)
}

async fn s153_only_what_is_over_is_deleted(scene: Scene) -> Verdict {
    let done = scene.envelope("done");
    scene.complete(&done).await?;
    let swept = whole(&scene, &sweep(&scene, Deed::Delete, State::Completed)).await?;
    ensure!((swept.found, swept.changed) == (1, 0), "a foreign broker may still deliver it: {swept:?}");
    ensure!(scene.store.find(done.id).await?.is_some(), "it was deleted");
    for state in [State::Scheduled, State::Available, State::Running, State::Retrying] {
        let answer = scene.store.begin_sweep(&sweep(&scene, Deed::Delete, state)).await;
        ensure!(matches!(answer, Err(StoreError::Rejected(_))), "{state:?} jobs may be deleted: {answer:?}");
    }
    Ok(Outcome::Pass)
}

async fn s154_a_sweep_without_a_fitting_state_is_refused(scene: Scene) -> Verdict {
    let mut nothing = sweep(&scene, Deed::Retry, State::Dead);
    nothing.filter.state = None;
    let mut nobody = sweep(&scene, Deed::Retry, State::Dead);
    nobody.hand.who = String::new();
    for wish in [
        nothing,
        nobody,
        sweep(&scene, Deed::Retry, State::Completed),
        sweep(&scene, Deed::Cancel, State::Dead),
    ] {
        let answer = scene.store.begin_sweep(&wish).await;
        ensure!(matches!(answer, Err(StoreError::Rejected(_))), "{wish:?}: {answer:?}");
    }
    Ok(Outcome::Pass)
}

async fn s155_every_hand_is_in_the_life_of_its_job(scene: Scene) -> Verdict {
    let dead = scene.envelope("dead");
    scene.bury(&dead).await?;
    let wish = sweep(&scene, Deed::Retry, State::Dead);
    let swept = whole(&scene, &wish).await?;
    let hands = scene.store.hands(dead.id).await?;
    let [hand] = hands.as_slice() else { return Err(Failure::new(format!("one hand: {hands:?}"))) };
    ensure!(
        (hand.deed.as_str(), hand.sweep) == ("retry", Some(swept.id)),
        "what and in which sweep: {hand:?}"
    );
    ensure!(hand.hand == wish.hand && hand.upon == Upon::Job(dead.id), "who, why and to what: {hand:?}");
    Ok(Outcome::Pass)
}

async fn s160_the_last_hand_on_each_of_several_jobs_is_told(scene: Scene) -> Verdict {
    let [gone, dead, untouched] = ["gone", "dead", "untouched"].map(|text| scene.envelope(text));
    for envelope in [&gone, &dead, &untouched] {
        scene.store.accept(super::scene::BROKER, vec![envelope.clone()]).await?;
    }
    let hand = |who: &str| Hand { who: who.into(), why: None };
    for (deed, job, who) in
        [(Deed::Cancel, gone.id, "ann"), (Deed::Cancel, dead.id, "ann"), (Deed::Retry, dead.id, "bob")]
    {
        scene.store.act(deed, job, &hand(who)).await?;
    }
    let asked = [gone.id, dead.id, untouched.id, backshift_core::JobId::generate()];
    let told = scene.store.last_hands(&asked).await?;
    let of = |job| told.iter().filter(move |hand| hand.upon == Upon::Job(job)).collect::<Vec<_>>();
    let [one] = of(gone.id)[..] else { return Err(Failure::new(format!("one hand: {told:?}"))) };
    let [two] = of(dead.id)[..] else { return Err(Failure::new(format!("one hand: {told:?}"))) };
    ensure!((one.deed.as_str(), one.hand.who.as_str()) == ("cancel", "ann"), "who did it: {one:?}");
    ensure!((two.deed.as_str(), two.hand.who.as_str()) == ("retry", "bob"), "the last one: {two:?}");
    ensure!(told.len() == 2, "of jobs that nobody touched nothing is told: {told:?}");
    ensure!(scene.store.last_hands(&[]).await?.is_empty(), "of no jobs, something was done");
    Ok(Outcome::Pass)
}

async fn s156_the_dead_are_told_by_cause(scene: Scene) -> Verdict {
    for n in 0..3 {
        scene.bury(&scene.envelope(n.to_string())).await?;
    }
    let filter = JobFilter { queue: Some(scene.queue.clone()), ..JobFilter::default() };
    let causes = scene.store.causes(&filter).await?;
    ensure!(causes.back_to.is_none(), "all were looked at: {causes:?}");
    let [cause] = causes.causes.as_slice() else {
        return Err(Failure::new(format!("one cause: {causes:?}")));
    };
    ensure!(cause.jobs == 3 && cause.first <= cause.last, "three of it: {cause:?}");
    ensure!(cause.error.as_deref() == Some("no such mailbox"), "an example: {cause:?}");
    let of = JobFilter { cause: cause.fingerprint.clone(), ..filter.clone() };
    ensure!(scene.store.matching(&of).await?.jobs == 3, "jobs are found by their cause");
    let other = JobFilter { cause: Some("error: another".into()), ..filter };
    ensure!(scene.store.matching(&other).await?.jobs == 0, "another cause finds nothing");
    Ok(Outcome::Pass)
}

async fn s157_a_single_hand_is_written_down_when_it_changed_something(scene: Scene) -> Verdict {
    let dead = scene.envelope("dead");
    scene.bury(&dead).await?;
    let ann = Hand { who: "ann@here".into(), why: Some("it is mended".into()) };
    let bob = Hand { who: "bob@there".into(), why: None };
    let nobody = scene.store.act(Deed::Retry, dead.id, &Hand::default()).await;
    ensure!(matches!(nobody, Err(StoreError::Rejected(_))), "nobody acted: {nobody:?}");
    let state = scene.store.act(Deed::Retry, dead.id, &ann).await?;
    ensure!(state == State::Available, "it runs again: {state:?}");
    ensure!(scene.row(dead.id).await?.state == State::Available, "and says so");
    // It waits already: nothing changes, nothing is written.
    scene.store.act(Deed::Retry, dead.id, &bob).await?;
    scene.store.act(Deed::Cancel, dead.id, &bob).await?;
    scene.store.act(Deed::Cancel, dead.id, &ann).await?;
    let stays = scene.store.act(Deed::Delete, dead.id, &ann).await;
    ensure!(matches!(stays, Err(StoreError::Rejected(_))), "its broker may deliver it for a day: {stays:?}");
    let hands = scene.store.hands(dead.id).await?;
    let told: Vec<_> = hands.iter().map(|hand| (hand.deed.as_str(), &hand.hand, hand.sweep)).collect();
    ensure!(told == [("retry", &ann, None), ("cancel", &bob, None)], "oldest first: {told:?}");
    let turned = scene.store.turn(&scene.queue, true, &ann).await?;
    ensure!(turned && !scene.store.turn(&scene.queue, true, &bob).await?, "a pause changes something once");
    ensure!(scene.store.paused().await?.contains(&scene.queue), "the queue is paused");
    ensure!(scene.store.turn(&scene.queue, false, &bob).await?, "and resumed");
    Ok(Outcome::Pass)
}

async fn s158_all_hands_are_told_newest_first_and_a_sweep_once(scene: Scene) -> Verdict {
    let who = format!("{} somebody", scene.queue);
    let hand = Hand { who: who.clone(), why: None };
    let single = scene.envelope("single");
    scene.bury(&single).await?;
    scene.store.act(Deed::Retry, single.id, &hand).await?;
    scene.store.act(Deed::Cancel, single.id, &hand).await?;
    for n in 0..3 {
        scene.bury(&scene.envelope(n.to_string())).await?;
    }
    let wish = Sweep { hand: hand.clone(), ..sweep(&scene, Deed::Retry, State::Dead) };
    let swept = whole(&scene, &wish).await?;
    scene.store.turn(&scene.queue, true, &hand).await?;
    scene.store.turn(&scene.queue, false, &hand).await?;
    let all = scene.store.all_hands(None, 500).await?;
    let ours: Vec<_> = all.iter().filter(|one| one.hand.who == who).collect();
    let many = Upon::Many { words: wish.words.clone(), changed: 3, done: true };
    let queue = Upon::Queue(scene.queue.clone());
    let told: Vec<_> = ours.iter().map(|one| (one.deed.as_str(), &one.upon, one.sweep)).collect();
    let job = Upon::Job(single.id);
    let wanted = [
        ("resume", &queue, None),
        ("pause", &queue, None),
        ("retry", &many, Some(swept.id)),
        ("cancel", &job, None),
        ("retry", &job, None),
    ];
    ensure!(told == wanted, "newest first, the sweep once: {told:?}");
    let older = scene.store.all_hands(Some(ours[2].at), 500).await?;
    ensure!(older.iter().filter(|one| one.hand.who == who).count() == 2, "a page goes on: {older:?}");
    let first = scene.store.all_hands(None, 1).await?;
    ensure!(first.len() == 1, "a page is bounded: {first:?}");
    Ok(Outcome::Pass)
}

async fn s159_a_sweep_is_found_with_its_wish(scene: Scene) -> Verdict {
    let dead = scene.envelope("dead");
    scene.bury(&dead).await?;
    let mut wish = sweep(&scene, Deed::Retry, State::Dead);
    wish.filter.error = vec!["mailbox".into()];
    wish.expected = Matching { jobs: 7, more: true };
    let begun = scene.store.begin_sweep(&wish).await?;
    let Some(found) = scene.store.find_sweep(begun.id).await? else {
        return Err(Failure::new("it is not found"));
    };
    let until = found.sweep.filter.until;
    ensure!(until.is_some(), "it is known what came later: {found:?}");
    wish.filter.until = until;
    ensure!(found.sweep == wish && !found.swept.done, "what was meant: {found:?}");
    // Whoever finds it goes on with it, and needs nothing else.
    let bob = Hand { who: "bob@there".into(), why: None };
    let end = scene.store.sweep(begun.id, &bob).await?;
    ensure!((end.changed, end.done) == (1, true), "it is done: {end:?}");
    let hands = scene.store.hands(dead.id).await?;
    ensure!(hands.iter().all(|hand| hand.hand == bob), "by whom: {hands:?}");
    ensure!(scene.store.find_sweep(uuid::Uuid::now_v7()).await?.is_none(), "there is no other");
    Ok(Outcome::Pass)
}
