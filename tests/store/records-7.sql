BEGIN TRANSACTION;
CREATE TABLE cache (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL,
        fetched_at TEXT NOT NULL
    ) STRICT;
CREATE TABLE customer (
        company_id TEXT NOT NULL,
        currency TEXT NOT NULL,
        business_id TEXT NOT NULL,
        contact_id TEXT NOT NULL,
        name TEXT NOT NULL,
        country TEXT NOT NULL,
        is_unused INTEGER NOT NULL, is_agreed INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (company_id, currency, business_id)
    ) STRICT;
CREATE TABLE event (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        who TEXT NOT NULL,
        command TEXT NOT NULL,
        service TEXT NOT NULL,
        what TEXT NOT NULL,
        document TEXT NOT NULL,
        number TEXT NOT NULL,
        path TEXT NOT NULL,
        key TEXT NOT NULL,
        figures TEXT NOT NULL,
        result TEXT NOT NULL,
        answer TEXT NOT NULL,
        request_id TEXT NOT NULL,
        previous TEXT NOT NULL,
        hash TEXT NOT NULL
    ) STRICT;
INSERT INTO "event" VALUES(1,'2026-11-28T16:10:48.174808+00:00','ann','copy-invoice','sage','POST /sales_invoices','123','INV-7','/sales_invoices/s1','4c881a2a39017565b97f964b13ebe4c3','{"date": "2026-11-20", "reference": "PRD-123", "currency": "GBP", "contact_id": "c1", "net": "100.00", "tax": "20.00", "total": "120.00", "tax_rate": "GB_STANDARD", "lines": 1}','done','{"id": "s1", "number": "SI-1", "contact": "Juniper", "currency": "GBP", "net": "100.00", "tax": "20.00", "total": "120.00"}','r-1','','a41db7b64f6b84bfa7c50b22750f7ec498114c667f759f4d8a41dead64ed1759');
INSERT INTO "event" VALUES(2,'2026-11-28T16:10:48.191741+00:00','ann','copy-invoice','productive','PATCH /invoices/123','123','INV-7','/invoices/123','','{"exported": true, "export_id": "s1"}','done','{"id": "123", "number": "INV-7"}','r-2','a41db7b64f6b84bfa7c50b22750f7ec498114c667f759f4d8a41dead64ed1759','208b5d1f5476afc5a963a8407e737d57caee06279a7a7a89794c21b562875b9e');
INSERT INTO "event" VALUES(3,'2026-11-28T16:10:48.199460+00:00','ann','copy-invoice','sage','POST /sales_invoices','124','INV-8','/sales_invoices','23afa54ad0445693ad130b79e4e39104','{"date": "2026-11-21", "reference": "PRD-124", "currency": "GBP", "contact_id": "c1", "net": "50.00", "tax_rate": "GB_STANDARD", "lines": 1}','refused','{"words": "The period is closed (422)"}','r-3','208b5d1f5476afc5a963a8407e737d57caee06279a7a7a89794c21b562875b9e','97c36dd2eae766abc10248a52ffd9401d5bdbdf8564efaeb67db59694dbdaaa0');
CREATE TABLE intent (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        source_id TEXT NOT NULL,
        business_id TEXT NOT NULL,
        idempotency_id TEXT NOT NULL,
        payload TEXT NOT NULL,
        context TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('sending', 'done', 'refused', 'lapsed')),
        words TEXT NOT NULL DEFAULT '',
        began_at TEXT NOT NULL,
        ended_at TEXT
    ) STRICT;
INSERT INTO "intent" VALUES(1,'invoice','123','b1','4c881a2a39017565b97f964b13ebe4c3','{"contact_id": "c1", "reference": "PRD-123", "date": "2026-11-20", "currency_id": "GBP", "invoice_lines": [{"net_amount": "100.00", "tax_amount": "20.00", "tax_rate_id": "GB_STANDARD"}]}','{"copy": 1, "number": "INV-7", "currency": "GBP", "company_id": "507", "contact_name": "Juniper", "country": "", "tax_rate_id": "", "said": {}, "expected": {}, "pending": [], "number_sent": false, "kind": "invoice", "sage_id": "", "before": null, "theirs": [], "credited_sage_id": null, "asked_new": false, "remember": false, "agreed": false, "sent_at": "2026-11-28T16:10:48.167786+00:00"}','done','','2026-11-28T16:10:48.167786+00:00','2026-11-28T16:10:48.190560+00:00');
INSERT INTO "intent" VALUES(2,'invoice','124','b1','23afa54ad0445693ad130b79e4e39104','{"contact_id": "c1", "reference": "PRD-124", "date": "2026-11-21", "currency_id": "GBP", "invoice_lines": [{"net_amount": "50.00", "tax_rate_id": "GB_STANDARD"}]}','{"copy": 1, "number": "INV-8", "currency": "GBP", "company_id": "507", "contact_name": "Juniper", "country": "", "tax_rate_id": "", "said": {}, "expected": {}, "pending": [], "number_sent": false, "kind": "invoice", "sage_id": "", "before": null, "theirs": [], "credited_sage_id": null, "asked_new": false, "remember": false, "agreed": false, "sent_at": "2026-11-28T16:10:48.197849+00:00"}','refused','The period is closed','2026-11-28T16:10:48.197849+00:00','2026-11-28T16:10:48.218646+00:00');
INSERT INTO "intent" VALUES(3,'invoice','125','b1','abf8e9957e8c422598bd7503178baa50','{"contact_id": "c1", "reference": "PRD-125", "date": "2026-11-22", "currency_id": "GBP", "invoice_lines": [{"net_amount": "60.00", "tax_rate_id": "GB_STANDARD"}]}','{"copy": 1, "number": "INV-9", "currency": "GBP", "company_id": "507", "contact_name": "Juniper", "country": "", "tax_rate_id": "", "said": {}, "expected": {}, "pending": [], "number_sent": false, "kind": "invoice", "sage_id": "", "before": null, "theirs": [], "credited_sage_id": null, "asked_new": false, "remember": false, "agreed": false, "sent_at": "2026-11-28T16:10:48.221401+00:00"}','sending','','2026-11-28T16:10:48.221401+00:00',NULL);
CREATE TABLE link (
        id INTEGER PRIMARY KEY,
        productive_id TEXT NOT NULL,
        copy INTEGER NOT NULL,
        business_id TEXT NOT NULL,
        sage_id TEXT NOT NULL UNIQUE,
        sage_number TEXT NOT NULL,
        tax_rate_id TEXT,
        number_sent INTEGER NOT NULL,
        written TEXT,
        pending TEXT NOT NULL,
        pdf_sha256 TEXT,
        pdf_attachment_id TEXT,
        copied_at TEXT NOT NULL, kind TEXT NOT NULL DEFAULT 'invoice', credited_sage_id TEXT,
        UNIQUE (productive_id, copy)
    ) STRICT;
INSERT INTO "link" VALUES(1,'123',1,'b1','s1','SI-1','',0,NULL,'',NULL,NULL,'2026-11-28T16:10:48.190775+00:00','invoice',NULL);
CREATE TABLE mark (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
INSERT INTO "mark" VALUES('signed in Productive','null');
INSERT INTO "mark" VALUES('signed in Sage','null');
INSERT INTO "mark" VALUES('payments until','2026-11-20T10:00:00+00:00');
INSERT INTO "mark" VALUES('history','3 97c36dd2eae766abc10248a52ffd9401d5bdbdf8564efaeb67db59694dbdaaa0');
INSERT INTO "mark" VALUES('history under way','{"id": 0, "at": "2026-11-28T16:10:48.224687+00:00", "who": "ann", "command": "copy-invoice", "service": "sage", "what": "POST /sales_invoices", "document": "125", "number": "INV-9", "path": "/sales_invoices", "key": "abf8e9957e8c422598bd7503178baa50", "figures": {"date": "2026-11-22", "reference": "PRD-125", "currency": "GBP", "contact_id": "c1", "net": "60.00", "tax_rate": "GB_STANDARD", "lines": 1}, "result": "", "answer": {}, "request_id": "", "previous": "", "hash": ""}');
CREATE TABLE mirrored (
        marker TEXT PRIMARY KEY,
        productive_id TEXT NOT NULL,
        payment_id TEXT NOT NULL UNIQUE,
        reference TEXT NOT NULL,
        source_id TEXT NOT NULL
    ) STRICT;
CREATE TABLE report (
        productive_id TEXT NOT NULL,
        code TEXT NOT NULL,
        message TEXT NOT NULL,
        since TEXT NOT NULL, next_step TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (productive_id, code, message)
    ) STRICT;
CREATE TABLE seen (item TEXT PRIMARY KEY, at TEXT NOT NULL) STRICT;
CREATE TABLE waiting (
        productive_id TEXT PRIMARY KEY,
        code TEXT NOT NULL,
        message TEXT NOT NULL,
        since TEXT NOT NULL
    , next_step TEXT NOT NULL DEFAULT '') STRICT;
CREATE UNIQUE INDEX open_intent ON intent (kind, source_id) WHERE state = 'sending';
CREATE INDEX mirrored_invoice ON mirrored (productive_id);
CREATE INDEX mirrored_source ON mirrored (source_id);
CREATE INDEX event_document ON event (document);
CREATE INDEX event_path ON event (path);
CREATE INDEX event_key ON event (key) WHERE key <> '';
CREATE INDEX intent_source ON intent (source_id);
CREATE TRIGGER event_is_not_changed BEFORE UPDATE ON event BEGIN
        SELECT RAISE(ABORT, 'the history is append-only');
    END;
CREATE TRIGGER event_is_not_removed BEFORE DELETE ON event BEGIN
        SELECT RAISE(ABORT, 'the history is append-only');
    END;
COMMIT;
PRAGMA user_version = 7;
