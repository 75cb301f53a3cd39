//! A handler has a database, and no connection of it: rows are reached through a scope.

fn handler(db: &tenantry_model::Db) {
    let _ = db.conn();
    let _ = db.everybody();
    let _ = &db.connection;
}

fn main() {}
