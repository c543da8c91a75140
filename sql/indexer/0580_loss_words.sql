-- The words for what is lost are those of the plugin's metrics and of the operator's guide.
UPDATE pipeline.alarm SET detail = replace(detail, ': loss_reason_', ': ') WHERE kind = 'loss' AND cleared_at IS NULL;
