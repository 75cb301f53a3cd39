//! What the compiler refuses: rows without a scope, a scope out of what was sent, ids of other things.
//! It compiles the crate anew, so `./scripts/assure` runs it and not every change.

#[test]
#[ignore = "compiles the crate anew"]
fn what_must_not_compile_does_not() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
    println!("B4: four files of what must not compile do not");
}
