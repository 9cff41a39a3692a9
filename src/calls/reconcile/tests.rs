use trunkline_control::vendors::Provider;

use super::*;

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
}

/// A call that was answered and that nobody keeps alive.
fn lost() -> CallState {
    CallState {
        our_number: None,
        outbound: false,
        start_time: at(0),
        answered: true,
        ending: false,
        ending_reason: None,
        over: false,
        leased: false,
    }
}

fn leg(status: CarrierStatus) -> Leg {
    Leg { status, last_seq: None }
}

#[test]
fn what_a_carrier_s_word_leads_to() {
    use CarrierStatus::{Answered, Busy, Completed, Failed, Ringing};
    let told = |state: &CallState, word| next(state, leg(Ringing), word, at(1));
    let over = CallState { over: true, ..lost() };
    let ending = CallState { ending: true, leased: true, ..lost() };
    let dialling = CallState { outbound: true, answered: false, ..lost() };
    let alive = CallState { leased: true, ..lost() };
    // Its end is believed, whatever we know.
    for state in [&lost(), &over, &ending, &dialling, &alive] {
        assert_eq!(told(state, Word::Is(Busy)), Next::Report(Busy));
    }
    // What was told to end is told again, until the carrier says that it has.
    assert_eq!(told(&over, Word::Is(Answered)), Next::HangUp);
    assert_eq!(told(&ending, Word::Is(Answered)), Next::HangUp);
    assert_eq!(told(&lost(), Word::Is(Answered)), Next::GiveUpAndHangUp);
    // What rings goes on ringing without us.
    assert_eq!(told(&dialling, Word::Is(Ringing)), Next::Report(Ringing));
    assert_eq!(told(&dialling, Word::Is(Answered)), Next::GiveUpAndHangUp);
    assert_eq!(told(&alive, Word::Is(Answered)), Next::Report(Answered));
    // Nobody knows it any more.
    assert_eq!(told(&over, Word::Unknown), Next::Report(Completed));
    assert_eq!(told(&dialling, Word::Unknown), Next::Report(Failed));
    assert_eq!(told(&alive, Word::Unknown), Next::Leave);
    // No word.
    assert_eq!(told(&lost(), Word::None), Next::GiveUp);
    assert_eq!(told(&over, Word::None), Next::Leave);
    assert_eq!(told(&dialling, Word::None), Next::Leave);
    assert_eq!(next(&dialling, leg(Ringing), Word::None, at(6)), Next::GiveUp);
}

#[test]
fn a_carrier_is_not_asked_what_is_known() {
    let stored = |status: CarrierStatus, provider_call_id: Option<&str>| StoredLeg {
        id: uuid::Uuid::nil(),
        is_customer: true,
        provider: Provider::Vonage,
        provider_call_id: provider_call_id.map(str::to_owned),
        status: status.name().into(),
        rank: status.rank().into(),
        last_seq: None,
        region_url: None,
    };
    let decided = |state: &CallState, leg: Option<&StoredLeg>| without_asking(state, leg, at(1));
    let busy = stored(CarrierStatus::Busy, Some("u"));
    assert_eq!(decided(&lost(), Some(&busy)), Some(Next::Report(CarrierStatus::Busy)));
    assert_eq!(decided(&lost(), Some(&stored(CarrierStatus::Answered, Some("u")))), None);
    // A call that is being placed has no name yet, and another may be settling it.
    let dialling = CallState { outbound: true, answered: false, ..lost() };
    assert_eq!(decided(&dialling, Some(&stored(CarrierStatus::Queued, None))), Some(Next::Leave));
    assert_eq!(without_asking(&dialling, None, at(6)), Some(Next::GiveUp));
    assert_eq!(decided(&lost(), None), Some(Next::GiveUp));
    assert_eq!(decided(&CallState { leased: true, ..lost() }, Some(&busy)), Some(Next::Leave));
}
