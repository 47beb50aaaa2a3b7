"""Operations on whole networks: convert, fold, audit, recalibrate."""
