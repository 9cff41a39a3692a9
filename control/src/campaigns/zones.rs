//! In which time zone a number is, as far as it tells.
//!
//! A number tells its country, and not where in it. So only those countries are here that have one time for all of them; whoever calls
//! others says the zone, or has the campaign's.

use chrono_tz::Tz;
use trunkline_base::E164;

/// Countries' codes, with the one zone that each has.
const COUNTRIES: [(&str, Tz); 50] = [
    ("20", Tz::Africa__Cairo),
    ("27", Tz::Africa__Johannesburg),
    ("30", Tz::Europe__Athens),
    ("31", Tz::Europe__Amsterdam),
    ("32", Tz::Europe__Brussels),
    ("33", Tz::Europe__Paris),
    ("36", Tz::Europe__Budapest),
    ("39", Tz::Europe__Rome),
    ("40", Tz::Europe__Bucharest),
    ("41", Tz::Europe__Zurich),
    ("43", Tz::Europe__Vienna),
    ("44", Tz::Europe__London),
    ("45", Tz::Europe__Copenhagen),
    ("46", Tz::Europe__Stockholm),
    ("47", Tz::Europe__Oslo),
    ("48", Tz::Europe__Warsaw),
    ("49", Tz::Europe__Berlin),
    ("51", Tz::America__Lima),
    ("57", Tz::America__Bogota),
    ("63", Tz::Asia__Manila),
    ("65", Tz::Asia__Singapore),
    ("66", Tz::Asia__Bangkok),
    ("81", Tz::Asia__Tokyo),
    ("82", Tz::Asia__Seoul),
    ("84", Tz::Asia__Ho_Chi_Minh),
    ("86", Tz::Asia__Shanghai),
    ("90", Tz::Europe__Istanbul),
    ("91", Tz::Asia__Kolkata),
    ("92", Tz::Asia__Karachi),
    ("94", Tz::Asia__Colombo),
    ("212", Tz::Africa__Casablanca),
    ("216", Tz::Africa__Tunis),
    ("233", Tz::Africa__Accra),
    ("234", Tz::Africa__Lagos),
    ("254", Tz::Africa__Nairobi),
    ("353", Tz::Europe__Dublin),
    ("354", Tz::Atlantic__Reykjavik),
    ("358", Tz::Europe__Helsinki),
    ("359", Tz::Europe__Sofia),
    ("370", Tz::Europe__Vilnius),
    ("371", Tz::Europe__Riga),
    ("372", Tz::Europe__Tallinn),
    ("385", Tz::Europe__Zagreb),
    ("420", Tz::Europe__Prague),
    ("421", Tz::Europe__Bratislava),
    ("852", Tz::Asia__Hong_Kong),
    ("886", Tz::Asia__Taipei),
    ("966", Tz::Asia__Riyadh),
    ("971", Tz::Asia__Dubai),
    ("972", Tz::Asia__Jerusalem),
];

/// The zone of a number's country, if that has one alone.
pub(super) fn of_number(number: &E164) -> Option<Tz> {
    let digits = number.expose().get(1..)?;
    // No country's code is the beginning of another's.
    COUNTRIES.iter().find(|(code, _)| digits.starts_with(code)).map(|(_, zone)| *zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_tells_the_zone_of_a_country_that_has_one() {
        for (number, zone) in [
            ("+4930123456", Some(Tz::Europe__Berlin)),
            ("+447700900123", Some(Tz::Europe__London)),
            ("+353851234567", Some(Tz::Europe__Dublin)),
            // Several: America, Australia, Russia, and Spain with its islands.
            ("+14155550100", None),
            ("+61491570156", None),
            ("+79161234567", None),
            ("+34612345678", None),
            ("+999123", None),
        ] {
            assert_eq!(of_number(&number.parse().unwrap()), zone, "{number}");
        }
    }

    #[test]
    fn no_code_begins_another() {
        for (n, (code, _)) in COUNTRIES.iter().enumerate() {
            assert!(COUNTRIES.iter().skip(n + 1).all(|(other, _)| !other.starts_with(code)), "{code}");
        }
    }
}
