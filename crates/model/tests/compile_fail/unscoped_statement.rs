//! A statement is written inside of the model, where its connection says whose rows it may touch.

async fn handler(scope: &tenantry_model::Scope) {
    let _ = tenantry_model::db::query_all(&scope.conn(), "SELECT * FROM users", vec![]).await;
}

fn main() {}
