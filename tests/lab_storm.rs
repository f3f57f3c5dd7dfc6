//! Promises without exception, under anything that guests and origins may do: random programs of the lab's storm.

use proptest::collection::vec;
use proptest::prelude::*;
use tollgate::lab::storm::weather;

proptest! {
    #[test]
    fn p3_no_weather_breaks_a_promise(program in vec(any::<u8>(), 1..80)) {
        weather(&program);
    }
}
