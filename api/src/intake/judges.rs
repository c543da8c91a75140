//! Whether a model's results could be judged, as this gateway says with each model and, where its operator wants that, asks before
//! it takes a request.

use crate::{
    app::App,
    error::{ApiError, ApiResult},
    fleet::judges::Judges,
    intake::plan::Served,
    store::index::network,
};

/// Who could judge a result of `model` that is requested now.
pub async fn judges(app: &App, model: &Served) -> ApiResult<Judges> {
    let rules = app.catalogue.rules().await?.params.rules;
    let (slot, validators) = app.validators.registered().await?;
    let mut models = vec![model.address.to_bytes()];
    // Without the index only those count that serve the file under the model's own address.
    if let Ok(same) = network::of_the_same_file(&app.pool, &model.address).await {
        models.extend(same);
    }
    Ok(Judges::of(&validators, &models, slot, &rules))
}

/// Refuses a request that nobody could judge, where the operator wants that.
pub async fn require(app: &App, model: &Served) -> ApiResult<()> {
    if !app.config.require_judges {
        return Ok(());
    }
    let judges = judges(app, model).await?;
    match judges.enough {
        true => Ok(()),
        false => Err(ApiError::unavailable(
            "too_few_judges",
            format!(
                "{} validators could judge an answer of {}, {} are needed: a false one could not be proved false",
                judges.mature, model.id, judges.needed
            ),
        )),
    }
}
