-- Tables that the platform makes at run time from data frames, in the shape that SQLAlchemy writes.

CREATE TABLE dataset_kyiv_orders (
	row_id INTEGER NOT NULL, 
	"Місто" TEXT, 
	"кількість" INTEGER, 
	"ціна_грн" FLOAT, 
	"дата_замовлення" DATETIME, 
	"сплачено" BOOLEAN, 
	"коментар" TEXT, 
	PRIMARY KEY (row_id)
);
